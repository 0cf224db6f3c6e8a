# SPDX-License-Identifier: Apache-2.0
"""start: from vfork to the entry of the first ioctl(KVM_RUN), with a guest of 20 bytes.

Both run the same PVH ELF file (guests/spin.S: an I/O write that ends the VM), 128 MiB, one vCPU, no
console but the serial port Ebb always has. start.c stops each at its first KVM_RUN by the same
seccomp filter, which costs both the same and the program nothing else; wall time is read there, and
the CPU time of the whole process. QEMU gets its shortest form: microvm without ACPI, PIT, PIC, RTC
and serial port; of the versions at hand the better one counts, for wall and CPU time each.
Beside it, untouched by any filter: start to end of the process, the guest being done at once.
"""
import re
import subprocess

from bench import (EBB, ROOT, RUNS, SPIN, Qemu, Row, alternate, helper, installed_qemu, log,
                   machine_load, median, need_kvm, output, say, spread)

BARE = "acpi=off,pit=off,pic=off,rtc=off,isa-serial=off,x-option-roms=off"
EXIT_PORT = "isa-debug-exit,iobase=0xf4,iosize=4"


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


def rows():
    need_kvm()
    peers = qemus()
    ways = {"ebb": EBB_SPIN, **{name: qemu_spin(q) for name, q in peers.items()}}
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


ROWS = [("start to first KVM_RUN, wall", "ms"), ("start to first KVM_RUN, CPU", "ms"),
        ("start to end, wall", "ms"), ("start to end, CPU", "ms")]
