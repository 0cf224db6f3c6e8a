# SPDX-License-Identifier: Apache-2.0
"""hint: a run of free page hinting over 1 GiB, all of it free and held by the host, by a bare-metal
guest (guests/hint.c) that leaves it alone, or clears it before it names it, as Linux does with
init_on_alloc (Debian's default).

Beside it what the other way to close hinting's race costs: write protection by userfaultfd instead
of KVM's log; its calls into the host alone, without a VM (protect.c). So a ratio above 1 does not
say that a VM would be faster that way; one that is near 1 or below says that none can be.

On this host's /dev/kvm, else in the rig, where only the ratios mean anything. As a note: the
documentation of Firecracker says about 200 ms for a VM of 1 GB, discarding what may be in use again.
"""
from bench import RUNS, Row, helper, log, machine_load, median, on_kvm, say, spread

MIB = 1024
NR_ROUNDS = min(RUNS, 5)
SECONDS = 2400
MODES = {"never": "4 KiB pages", "always": "huge pages"}
CLEARS = {"0": "", "1": ", cleared first"}
PEER = "userfaultfd's write protection, no VM"


def title(mode, clear):
    return f"reclaim 1 GiB by hinting, {MODES[mode]}{CLEARS[clear]}"


def rows():
    say(f"hint: {NR_ROUNDS} rounds of {MIB} MiB")
    result = on_kvm("hint_l1.py", {"mib": MIB, "rounds": NR_ROUNDS, "protect": helper("protect")},
                    SECONDS)
    for who, modes in result.items():
        for mode, clears in modes.items():
            for clear, ms in clears.items():
                log(f"hint: {who}: {title(mode, clear)}: ms {spread(ms)}; {machine_load()}")
    for mode, clear in WHICH:
        yield Row(title(mode, clear), "ms", median(result["ebb"][mode][clear]),
                  median(result["protect"][mode][clear]), PEER)


WHICH = [(mode, clear) for mode in MODES for clear in CLEARS]
ROWS = [(title(*which), "ms") for which in WHICH]
