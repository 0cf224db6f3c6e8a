# SPDX-License-Identifier: Apache-2.0
"""start: from vfork to the entry of the first ioctl(KVM_RUN), with a guest of 20 bytes.

Both run the same PVH ELF file (guests/spin.S: an I/O write that ends the VM), 128 MiB, one vCPU, no
console but the serial port Ebb always has. start.c stops each at its first KVM_RUN by the same
seccomp filter, which costs both the same and the program nothing else; wall time is read there, and
the CPU time of the whole process. QEMU gets its shortest form: microvm without ACPI, PIT, PIC, RTC
and serial port; of the versions at hand the better one counts, for wall and CPU time each.
Beside it, untouched by any filter: start to end of the process, the guest being done at once.

Times need a /dev/kvm. What does not depend on a machine's pace is counted in the rig, with one there
or without: the system calls up to the first KVM_RUN, and the instructions of the rig's machine from
start to end, its kernel's share included (start_l1.py).
"""
import os
import re
import subprocess

from bench import (EBB, ROOT, RUNS, SPIN, Qemu, Row, alternate, counted_in_rig, helper, in_rig,
                   installed_qemu, log, machine_load, median, need_kvm, output, rig_counts, say,
                   spread)

BARE = "acpi=off,pit=off,pic=off,rtc=off,isa-serial=off,x-option-roms=off"
EXIT_PORT = "isa-debug-exit,iobase=0xf4,iosize=4"
ROUNDS, RUNS_A_ROUND = 3, 5  # counts hardly differ
RIG_SECONDS = 300


def qemu_spin(qemu):
    return qemu.microvm(BARE, "-m", "128", "-device", EXIT_PORT, "-kernel", SPIN)


EBB_SPIN = [EBB, "run", "-m", "128M", "--debug-exit", "-k", SPIN]


def run(mode, command):
    """Wall and CPU time in ns."""
    done = subprocess.run([helper("start"), mode, *command], stdin=subprocess.DEVNULL, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wall, cpu, _code, _began = map(int, done.stdout.splitlines()[-1].split())
    return wall, cpu


def qemus():
    """The installed version and, where there is one, the rig's own."""
    found = {}
    for qemu in (installed_qemu(), Qemu(output(f"{ROOT}/tests/rig/qemu", "path").strip())):
        found.setdefault(f"QEMU {qemu.version} microvm", qemu)
    return found


def best(results, index):
    """Name and median of the quickest."""
    return min(((name, median([r[index] for r in runs])) for name, runs in results.items()),
               key=lambda pair: pair[1])


def why():
    cpuid_us = float(output(helper("start"), "cpuid")) / 1e3
    text = output("ldd", EBB)
    libraries = len(re.findall("=>", text))
    return (f"One CPUID instruction costs {cpuid_us:.2f} us on this machine (native: below 0.1; "
            "the C library's start executes 68, KVM_GET_SUPPORTED_CPUID and KVM_SET_CPUID2 about "
            f"75 more: {143 * cpuid_us / 1e3:.2f} ms); {libraries} shared libraries.")


def counted(ways):
    """The rows of counts."""
    nested = rig_counts()
    if not nested and os.geteuid() != 0:
        say("start: system calls are not counted: tracepoints are for root alone")
        return
    job = {"start": helper("start"), "runs": RUNS_A_ROUND, "rounds": ROUNDS, "ways": ways}
    say(f"start: {ROUNDS * RUNS_A_ROUND} starts of {', '.join(ways)} counted in the rig")
    if nested:
        calls, steps = counted_in_rig("start_l1.py", job, RIG_SECONDS)
    else:
        calls, steps = in_rig("start_l1.py", job, RIG_SECONDS), None
        say("start: instructions are not counted: KVM is native here, the rig emulates nothing")
    for name, counts in calls.items():
        log(f"start: {name}: system calls until KVM_RUN: " +
            ", ".join(f"{call} {n}" for call, n in counts))
    sums = {name: sum(n for _, n in counts) for name, counts in calls.items()}
    ours = sums.pop("ebb")
    peer = min(sums, key=sums.get)
    yield Row(ROWS[0][0], "calls", ours, sums[peer], peer)
    if nested:
        for name in ways:
            log(f"start: {name}: M instructions of {RUNS_A_ROUND} starts: {spread(steps[name])}")
        cost = {name: median(steps[name]) / RUNS_A_ROUND for name in ways}
        peer = min(sums, key=cost.get)
        yield Row(ROWS[1][0], "M", cost["ebb"], cost[peer], peer)


def rows():
    peers = qemus()
    ways = {"ebb": EBB_SPIN, **{name: qemu_spin(q) for name, q in peers.items()}}
    yield from counted(ways)
    need_kvm()
    say(f"start: {RUNS} runs of {', '.join(ways)} to the first KVM_RUN and to the end")
    first = alternate({name: lambda c=command: run("kvm", c) for name, command in ways.items()})
    whole = alternate({name: lambda c=command: run("run", c) for name, command in ways.items()})
    for what, results in (("first KVM_RUN", first), ("end", whole)):
        for name, runs in results.items():
            log(f"start: to {what}: {name}: wall ms {spread([r[0] for r in runs], 1e-6)}; "
                f"CPU ms {spread([r[1] for r in runs], 1e-6)}; {machine_load()}")
    ours, whole_ours = first.pop("ebb"), whole.pop("ebb")
    reason = why()
    for title, mine, theirs, index, goal in (
            ("start to first KVM_RUN, wall", ours, first, 0, {"goal": 1.5, "absolute": True}),
            ("start to first KVM_RUN, CPU", ours, first, 1, {"goal": 0.05}),
            ("start to end, wall", whole_ours, whole, 0, {}),
            ("start to end, CPU", whole_ours, whole, 1, {})):
        name, peer = best(theirs, index)
        yield Row(title, "ms", median([r[index] for r in mine]) / 1e6, peer / 1e6, name,
                  why=reason, **goal)


ROWS = [("start to first KVM_RUN, system calls", "calls"), ("start to end, instructions", "M"),
        ("start to first KVM_RUN, wall", "ms"), ("start to first KVM_RUN, CPU", "ms"),
        ("start to end, wall", "ms"), ("start to end, CPU", "ms")]
