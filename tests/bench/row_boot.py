# SPDX-License-Identifier: Apache-2.0
"""boot: a stock Debian cloud kernel (vmlinux, by PVH) up to the first instruction of its /init.

Where KVM is real (tests/rig; under emulation only the ratios mean anything). Same vmlinux,
initrd, command line, 256 MiB, one vCPU, a 16550 as the console, no virtio device, the processor of
the host. /init (stamp.S) writes to the exit port; boot_l1.py says how that is timed and counted,
the same for both. `quiet loglevel=0` leaves printing out, which costs both two exits a character.

QEMU: Debian's. Without an RTC its guest waits seconds for one, so it has one. It is counted as it
comes (no PIT, no PIC) and at the best settings found (kernel-irqchip=on, ioapic2=off: both IOAPICs
are in user space else); the best is the peer. Its memory is anonymous, as by default, and gets huge
pages where /sys/kernel/mm/transparent_hugepage/enabled is `always`, Debian's default. Ebb's is a
memfd, which gets them when shmem_enabled allows it: timed once with `never`, Debian's default, and
once with `advise`.
"""
import os

from bench import (EBB, ROOT, RUNS, Row, Skip, helper, in_rig, installed_qemu, log, machine_load,
                   median, output, say, spread)
from row_start import EBB_SPIN, EXIT_PORT, qemu_spin

PARAMS = ("console=ttyS0 quiet loglevel=0 pci=off panic=-1 no_timer_check random.trust_cpu=on "
          "cryptomgr.notests")
COMES = "acpi=on,pit=off,pic=off,rtc=on,isa-serial=on,auto-kernel-cmdline=off,x-option-roms=off"
BEST = COMES + ",kernel-irqchip=on,ioapic2=off"
EXIT_NAMES = {2: "I/O", 6: "MMIO", 10: "signal", 0: "none"}
NR_TIMED = max(3, RUNS // 3)
RIG_SECONDS = 560


def qemu_linux(qemu, machine):
    return qemu.microvm(machine, "-cpu", "host", "-m", "256", "-serial", "stdio", "-device",
                        EXIT_PORT, "-kernel", "@kernel", "-initrd", "@initrd", "-append", PARAMS)


def measure(qemu, best, comes):
    initrd = f"{ROOT}/build/bench-initrd.img"
    output(f"{ROOT}/guests/linux/mkinitrd", "-m", "", "-i", helper("stamp"), "-o", initrd)
    kernel = output(f"{ROOT}/tests/rig/kernels", "path", "cloud", "vmlinux").strip()
    ebb = [EBB, "run", "-m", "256M", "--debug-exit", "-k", "@kernel", "-i", "@initrd", "-p", PARAMS]
    job = {
        "start": helper("start"), "files": {"kernel": kernel, "initrd": initrd},
        "runs": NR_TIMED,
        "timed": {"ebb": ["never", ebb], "ebb, huge pages": ["advise", ebb],
                  best: ["never", qemu_linux(qemu, BEST)]},
        "counted": {"ebb": ["never", ebb], best: ["never", qemu_linux(qemu, BEST)],
                    comes: ["never", qemu_linux(qemu, COMES)]},
        "first": {"ebb": ["never", EBB_SPIN], best: ["never", qemu_spin(qemu)]},
    }
    return in_rig("boot_l1.py", job, RIG_SECONDS)


def nr_exits(counts):
    return sum(count for _, count in counts["kvm_userspace_exit"])


def exit_text(counts):
    kinds = ", ".join(f"{EXIT_NAMES.get(keys[0], keys[0])} {n}"
                      for keys, n in counts["kvm_userspace_exit"])
    ports = ", ".join(f"{'w' if keys[1] else 'r'} {keys[0]:#x} {n}"
                      for keys, n in counts["kvm_pio"])
    mmio = ", ".join(f"{'w' if keys[1] == 2 else 'r'} {keys[0]:#x} {n}"
                     for keys, n in counts["kvm_mmio"])
    hardware = ", ".join(f"{keys[0]:#x} {n}" for keys, n in counts["kvm_exit"][:8])
    return (f"to user space {nr_exits(counts)} ({kinds}); port accesses: {ports}; MMIO, IOAPIC and "
            f"LAPIC in the kernel included: {mmio}; all exits by hardware reason: {hardware}")


def serial_exits(counts):
    return sum(n for keys, n in counts["kvm_pio"] if 0x2e8 <= keys[0] <= 0x3ff)


def page_faults(counts):
    """Nested page faults (SVM) and EPT violations."""
    return sum(n for keys, n in counts["kvm_exit"] if keys[0] in (0x400, 48))


def rows():
    qemu = installed_qemu()
    nested = output(f"{ROOT}/tests/rig/rig", "--mode").strip() == "nested"
    if not nested and os.geteuid() != 0:
        raise Skip("tracepoints are for root alone")
    best, comes = (f"QEMU {qemu.version} microvm, {how}"
                   for how in ("best settings", "as it comes"))
    say(f"boot: {NR_TIMED} boots each of ebb, ebb with huge pages and {best}, and counted ones")
    result = measure(qemu, best, comes)
    where = f"host kernel {result['kernel']}{', the emulated one of the rig' if nested else ''}"
    for name, runs in result["timed"].items():
        log(f"boot: to init, {where}: {name}: ms {spread([r['init_ns'] for r in runs], 1e-6)}; "
            f"{machine_load()}")
    for name, runs in result["first"].items():
        log(f"boot: start to first KVM_RUN of spin.elf there: {name}: wall ms "
            f"{spread([r[0] for r in runs], 1e-6)}; CPU ms {spread([r[1] for r in runs], 1e-6)}")
    for name, counts in result["counted"].items():
        log(f"boot: exits until init: {name}: {exit_text(counts)}")
    ours, theirs, plain = (result["counted"][n] for n in ("ebb", best, comes))
    yield Row(ROWS[0][0], "exits", nr_exits(ours), nr_exits(theirs), best, 0.25,
              why=f"{serial_exits(ours)} of Ebb's {nr_exits(ours)} exits and "
                  f"{serial_exits(theirs)} of QEMU's are the kernel's probing of serial ports.")
    yield Row(ROWS[1][0], "exits", nr_exits(ours), nr_exits(plain), comes, 0.25)
    peer_ns = median([r["init_ns"] for r in result["timed"][best]])
    for title, name in ((ROWS[2][0], "ebb"), (ROWS[3][0], "ebb, huge pages")):
        yield Row(title, "ms", median([r["init_ns"] for r in result["timed"][name]]) / 1e6,
                  peer_ns / 1e6, best, 0.7,
                  why="Both run the same kernel, which takes most of it. With shmem_enabled=never "
                      f"Ebb's guest has {page_faults(ours)} nested page faults, QEMU's "
                      f"{page_faults(theirs)}.")
    mine, peer = (median([r[1] for r in result["first"][name]]) for name in ("ebb", best))
    yield Row(ROWS[4][0], "ms", mine / 1e6, peer / 1e6, f"QEMU {qemu.version} microvm")


ROWS = [("exits to user space until init", "exits"),
        ("the same, QEMU as it comes", "exits"),
        ("time to init, shmem_enabled=never", "ms"),
        ("time to init, shmem_enabled=advise", "ms"),
        ("start to first KVM_RUN, CPU, as the boots", "ms")]
