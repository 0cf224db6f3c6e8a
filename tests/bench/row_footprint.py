# SPDX-License-Identifier: Apache-2.0
"""footprint: what a VM of 128 MiB and one vCPU costs beside its guest's memory.

The guest (guests/spin.S without its exit port) has run and halts; the VM is paused over QMP, and
after half a second PSS is summed from /proc/PID/smaps over every mapping but the guest's memory,
which is a memfd in both. Kernel memory (page tables, KVM) is not in it. QEMU gets its shortest
form, as in row_start.py, and both are looked at with the host's transparent huge pages on request
and, Debian's default, `always`. Where there is no /dev/kvm that is in the rig, where
nobody else shares the C library. PSS divides a shared page by those who map it, so Ebb runs from a copy
that no other VM shares; libraries are shared with whatever else runs. The log has the private bytes
too.
"""
import os

from bench import EBB, SPIN, Row, have_kvm, installed_qemu, log, median, on_kvm, say
from row_start import BARE
from tracing import THP, chosen

RUNS = 3
SECONDS = 300
# The host's transparent huge pages, which a program's own memory may get.
SETTINGS = ("madvise", "always")


def rows():
    qemu = installed_qemu()
    name = f"QEMU {qemu.version} microvm"
    settings = list(SETTINGS)
    if have_kvm() and os.geteuid() != 0:
        say("footprint: only with the host's huge pages as they are: to set them is for root")
        settings = [chosen(THP)]
    say(f"footprint: {RUNS} runs of ebb and {name}, huge pages: {', '.join(settings)}")
    job = {"runs": RUNS, "settings": settings, "ways": {
        "ebb": [EBB, "run", "-m", "128M", "-k", SPIN, "--qmp", "@qmp"],
        name: qemu.microvm(BARE + ",memory-backend=ram", "-m", "128", "-object",
                           "memory-backend-memfd,id=ram,size=128M", "-kernel", SPIN, "-qmp",
                           "unix:@qmp,server=on,wait=off")}}
    result = on_kvm("footprint_l1.py", job, SECONDS)
    for setting, ways in result.items():
        for way, runs in ways.items():
            for run in runs:
                log(f"footprint: {setting}: {way}: PSS {run['pss']} KiB, private {run['private']} "
                    "KiB; largest: " + ", ".join(f"{part} {kib}" for kib, part in run["parts"]))
    for setting, (title, unit) in zip(SETTINGS, ROWS):
        if setting in result:
            ours, theirs = (result[setting][way] for way in ("ebb", name))
            yield Row(title, unit, median([r["pss"] for r in ours]),
                      median([r["pss"] for r in theirs]), name, 700, absolute=True,
                      why="Most is in: " + ", ".join(f"{part} {kib}"
                                                     for kib, part in ours[-1]["parts"][:5]))


ROWS = [("PSS without guest memory, idle, paused", "KiB"),
        ("the same, transparent huge pages always", "KiB")]
