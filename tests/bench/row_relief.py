# SPDX-License-Identifier: Apache-2.0
"""relief: how soon a stock Debian guest that runs out of memory has some.

Where KVM is real (tests/rig). 256 MiB of boot memory, one vCPU; BENCH_RUNS rounds (50 for figures
that are worth something), the ways in turn in each. From the last moment at which nothing in the
guest had stalled for want of memory to the first page written beyond what it had; relief_l1.py says
how.

    reserve     16 MiB of boot memory's balloon are let go of
    plug        32 MiB more elastic memory, into a memory block that is partly plugged
    plug-new    the same, in a memory block that the guest has to make first
    both, both-new    the reserve and then that
    ask         the guest asks over its agent's port, the policy lets go of the reserve and plugs

The first five are set off by a script in the rig, over QMP. There is one processor: the guest, the
VMM and the script take turns, and most of the time is the word's on its way to the host. "At the
host" is without that: from when the guest's write to its port is over, which on one processor is
about when the VMM has done its part.
"""
import math

from bench import ROOT, RUNS, Row, in_rig, log, machine_load, median, output, say, spread

SECONDS = 400
RIG_SECONDS = 500
# The way, the one whose time it is compared with, and the goal for the 99th percentile.
PAIRS = (("reserve", "plug", 0.25), ("reserve", "plug-new", 0.25), ("plug", "plug-new", None),
         ("both-new", "plug-new", None), ("ask", "plug-new", None))
AT_HOST = PAIRS[:3]


def p99(values):
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


KINDS = {"median": median, "p99": p99}


def title(way, peer, kind, at_host=False):
    return f"relief, {way} / {peer}, {'at the host, ' if at_host else ''}{kind}"


def ms(rounds, key):
    return [r[key] / 1e3 for r in rounds]


def at_host_ms(rounds):
    return [(r["relief"] - r["told"]) / 1e3 for r in rounds]


def tell(way, rounds):
    times = ms(rounds, "relief")
    host = ms([r for r in rounds if r["host_us"] is not None], "host_us")
    after = at_host_ms(rounds)
    say(f"relief: {way}: {len(rounds)} rounds, ms {spread(times)} p99 {p99(times):.2f}; at the "
        f"host {spread(after)} p99 {p99(after):.2f}; stall time "
        f"{median(ms(rounds, 'pressure')):.2f}"
        + (f"; QMP commands of the script {median(host):.2f}" if host else ""))
    log(f"relief:   all: {' '.join(f'{t:.1f}' for t in times)}")


def rows():
    initrd = f"{ROOT}/build/relief-initrd.img"
    output(f"{ROOT}/guests/linux/mkinitrd", "-a", f"{ROOT}/build/guests/linux/stall:bin/stall",
           "-o", initrd)
    kernel = output(f"{ROOT}/tests/rig/kernels", "path", "cloud", "vmlinux").strip()
    result = in_rig("relief_l1.py", {"rounds": RUNS, "seconds": SECONDS}, RIG_SECONDS,
                    EBB_KERNEL=kernel, EBB_INITRD=initrd)
    for way, rounds in result.items():
        tell(way, rounds)
    say(f"relief: {machine_load()}")
    whole = {way: ms(rounds, "relief") for way, rounds in result.items()}
    at_host = {way: at_host_ms(rounds) for way, rounds in result.items()}
    for pairs, times in ((PAIRS, whole), (AT_HOST, at_host)):
        for way, peer, goal in pairs:
            for kind, of in KINDS.items():
                yield Row(title(way, peer, kind, pairs is AT_HOST), "ms", of(times[way]),
                          of(times[peer]), f"Ebb, {peer}", goal if kind == "p99" else None,
                          why="On one processor the word to the host is most of it, and the "
                              "slowest rounds are other load's; see guests/agent/README.md.")


ROWS = [(title(way, peer, kind, pairs is AT_HOST), "ms") for pairs in (PAIRS, AT_HOST)
        for way, peer, _ in pairs for kind in KINDS]
