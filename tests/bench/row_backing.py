# SPDX-License-Identifier: Apache-2.0
"""backing: what 1 GiB of elastic memory costs to take (plugged, and a word of every 4 KiB written)
and to give back, the same bare-metal guest (guests/backing.c) on Ebb and on QEMU's virtio-mem-pci
with each kind of memory that QEMU has for it.

On this host's /dev/kvm, else in the rig, whose emulation distorts what memory costs. The guest sends
the requests that Linux sends, of 128 MiB, waits for each answer by an interrupt, and times itself
with the TSC. All VMs stand side by side, stopped but for the one whose turn it is; backing_l1.py asks
the host each time whether 1 GiB is there when populated and nothing when released.

The host's settings are Debian's, shmem_enabled=never, but for the rows of --huge=auto: there it is
`advise`. QEMU's anonymous memory gets huge pages by its own madvise(), its hugetlb memfd has 512
pages of 2 MiB of the host to itself. Its memfd gets none with `advise`: it is not aligned to 2 MiB;
a file on a tmpfs is, so that is the peer of the same kind.
"""
import os

from bench import (RUNS, Row, Skip, installed_qemu, log, machine_load, median, on_kvm, say, spread)

BYTES = 1 << 30
NR_ROUNDS = min(RUNS, 7)
NR_SLOW_ROUNDS = 2  # of small pages, which take ten times as long and are far from any goal
SECONDS = 1500
WHATS = ("populate", "release")
ALWAYS, AUTO = "--huge=always", "--huge=auto, shmem advise"
THP, HUGETLB, TMPFS, MEMFD = "anonymous, THP", "memfd, hugetlb", "tmpfs, huge=always", "memfd"
QEMU_MEMORY = {THP: "memory-backend-ram",
               HUGETLB: "memory-backend-memfd,hugetlb=on,hugetlbsize=2M",
               TMPFS: "memory-backend-file,mem-path=@tmpfs,share=on,align=2M",
               MEMFD: "memory-backend-memfd"}
# Of each row: whose, against what, the goals of populate and release.
PAIRS = [(ALWAYS, THP, 1.1, 1.1), (ALWAYS, HUGETLB, 1.1, 1.1), (ALWAYS, MEMFD, 0.2, 0.05),
         (ALWAYS, TMPFS, None, None), (AUTO, THP, 1.1, 1.1), (AUTO, HUGETLB, 1.1, 1.1),
         (AUTO, TMPFS, None, None)]


def measure(qemu):
    ways = {ALWAYS: {"ebb": "always"}, AUTO: {"ebb": "auto", "shmem": "advise"},
            **{name: {"qemu": qemu.command, "memory": memory}
               for name, memory in QEMU_MEMORY.items()}}
    ways[MEMFD]["rounds"] = min(NR_ROUNDS, NR_SLOW_ROUNDS)
    job = {"bytes": BYTES, "rounds": NR_ROUNDS, "ways": ways}
    return on_kvm("backing_l1.py", job, SECONDS)


def why(what, ours, ms):
    if what == "release":
        return ("Ebb's memory is shared memory: its pages leave the page cache for the page "
                "allocator. Anonymous memory is in no page cache, hugetlb's pages go to a pool. "
                f"QEMU's on a tmpfs with huge pages takes {ms(TMPFS, what):.0f} ms here.")
    if ours == ALWAYS:
        return (f"{ms(ours, 'plug'):.0f} ms of it are the plug requests, in which MADV_COLLAPSE "
                "makes the huge pages. Where the kernel makes them by faults (shmem_enabled="
                f"advise, --huge=auto) all of it takes {ms(AUTO, what):.0f} ms.")
    return f"QEMU's on a tmpfs with huge pages takes {ms(TMPFS, what):.0f} ms here."


def rows():
    qemu = installed_qemu()
    if os.geteuid() != 0:
        raise Skip("the host's settings for huge pages are root's alone")
    say(f"backing: {NR_ROUNDS} rounds of 1 GiB on Ebb and on QEMU {qemu.version}")
    result = measure(qemu)
    for name, rounds in result.items():
        for what in ("plug", *WHATS):
            log(f"backing: {what}: {name}: ms {spread([r[what] for r in rounds], 1e-6)}; "
                f"{machine_load()}")
        log(f"backing: {name}: at most {max(r['left'] for r in rounds)} bytes left, "
            f"{median([r['huge'] for r in rounds]) / (1 << 20):.0f} MiB by huge pages")

    def ms(name, what):
        return median([r[what] for r in result[name]]) / 1e6

    for ours, theirs, *goals in PAIRS:
        for what, goal in zip(WHATS, goals):
            yield Row(title(what, ours, theirs), "ms", ms(ours, what), ms(theirs, what),
                      f"QEMU {qemu.version}, {theirs}", goal, why=why(what, ours, ms))


def title(what, ours, theirs):
    return f"{what} 1 GiB, {ours} ({theirs})"


ROWS = [(title(what, ours, theirs), "ms") for ours, theirs, *_ in PAIRS for what in WHATS]
