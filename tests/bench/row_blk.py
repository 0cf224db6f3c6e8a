# SPDX-License-Identifier: Apache-2.0
"""blk: what a read of 4 KiB costs that the host's page cache has, one at a time and with 32 under
way, the same bare-metal guest (guests/diskspeed.c) and file on Ebb and on QEMU's microvm with a
virtio-blk-device.

Where KVM is real (tests/rig; under emulation only the ratios mean anything). Exits and system calls
are counted by tracepoints, in a round that is not timed. The peer is QEMU as it comes (aio=threads);
aio=io_uring stands beside it in the log. blk_l1.py has the rest.

And on this host's /dev/kvm, else in the rig, what a request takes that needs no file, from its kick
to its completion (blk_kick.py).
"""
import subprocess

from bench import ROOT, RUNS, Row, in_rig, installed_qemu, log, median, on_kvm, say, spread

NR_ROUNDS = min(RUNS, 5)
RIG_SECONDS = 1200
EBB, THREADS, URING = "ebb", "aio=threads", "aio=io_uring"
WAYS = {EBB: {"ebb": []}, THREADS: {"drive": ""}, URING: {"drive": ",aio=io_uring"}}
DEPTHS = ("1", "32")


def modules_root():
    """Of the kernel that the rig runs."""
    path = subprocess.run([f"{ROOT}/tests/rig/kernels", "path", "full", "modules"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()
    return path.rsplit("/lib/modules/", 1)[0]


def cost(one):
    return one["exits"] + sum(one["syscalls"].values())


def rows():
    qemu = installed_qemu()
    say(f"blk: {NR_ROUNDS} rounds of reads on Ebb and on QEMU {qemu.version} microvm")
    result = in_rig("blk_l1.py", {"mib": 32, "reads": 2000, "rounds": NR_ROUNDS,
                                  "modules": modules_root(), "qemu": qemu.command, "ways": WAYS},
                    RIG_SECONDS)
    for way, depths in result.items():
        for depth, one in depths.items():
            calls = sorted(one["syscalls"].items(), key=lambda call: -call[1])
            log(f"blk: depth {depth}: {way}: us {spread(one['ns'], 1e-3)}; exits "
                f"{one['exits']:.2f}, system calls {sum(one['syscalls'].values()):.2f}: "
                + ", ".join(f"{name} {nr:.2f}" for name, nr in calls if nr >= 0.01))
    name = f"QEMU {qemu.version} microvm"
    for depth in DEPTHS:
        ours, theirs = result[EBB][depth], result[THREADS][depth]
        yield Row(cost_title(depth), "events", cost(ours), cost(theirs), name, 0.7)
        yield Row(time_title(depth), "us", median(ours["ns"]) / 1e3, median(theirs["ns"]) / 1e3,
                  name, 1)
    ns = on_kvm("blk_kick.py", {"rounds": NR_ROUNDS, "qemu": qemu.command}, RIG_SECONDS)
    for who, values in ns.items():
        log(f"blk: kick to completion: {who}: us {spread(values, 1e-3)}")
    yield Row(KICK, "us", median(ns["ebb"]) / 1e3, median(ns["qemu"]) / 1e3, name)


def cost_title(depth):
    return f"exits and system calls of a 4 KiB read, depth {depth}"


def time_title(depth):
    return f"time of a 4 KiB read, depth {depth}"


KICK = "kick to completion, no I/O"
ROWS = [*(row for depth in DEPTHS for row in ((cost_title(depth), "events"),
                                            (time_title(depth), "us"))), (KICK, "us")]
