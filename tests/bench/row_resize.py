# SPDX-License-Identifier: Apache-2.0
"""resize: a stock Debian cloud kernel grows by 1 GiB and shrinks again, first and repeatedly.

Where KVM is real (tests/rig; under emulation only the ratios mean anything). Ebb as it comes
(--huge=auto) and QEMU's virtio-mem-pci: same kernel, initrd, command line, 512 MiB, one vCPU,
blocks of 2 MiB, the same requests (qom-set requested-size). resize_l1.py says what is timed. Where the
guest's driver takes most of the time, the VMM's share is in its own rows: CPU time of all its
threads but the vCPU, and the vCPU's system time, guest code apart.

The guest writes what it unplugs (init_on_alloc), so its pages are what most depends on. `memfd` and
`ram` are QEMU's memory backends: a memfd like Ebb's, and its default, anonymous memory, which has
huge pages at the first touch where transparent_hugepage/enabled is `always`, Debian's default.
`never` and `advise` are what shmem_enabled says about Ebb's: `never` is Debian's default. A memfd
of QEMU's is not aligned for huge pages, so `advise` has nothing to compare there.
"""
import os

from bench import (ROOT, RUNS, Row, Skip, in_rig, installed_qemu, log, machine_load, median, output,
                   say, spread)

BYTES = 1 << 30
# 262144 first touches for each shrink on small pages: no time for many of them.
RUN = {"never": {"boots": 1, "cycles": 2, "memories": ["memfd", "ram"]},
       "advise": {"boots": max(2, RUNS // 5), "cycles": 4, "memories": ["ram"]}}
MEMORIES = {"memfd": "memory-backend-memfd,share=on", "ram": "memory-backend-ram"}
# No cycle is begun later; the longest one, on a slow machine, has the rest.
SECONDS = 200
RIG_SECONDS = 540
NPF = (0x400, 48)  # nested page faults of SVM, EPT violations


def steps(results, grow, again):
    return [r for r in results if r["grow"] == grow and (r["cycle"] > 0) == again]


def host_ms(step):
    return step["outside_ms"] + step["system_ms"]


def faults(step):
    return sum(nr for reason, nr in step["exits"] if reason in NPF)


def tell(shmem, vmm, results):
    for grow in (True, False):
        for again in (False, True):
            some = steps(results, grow, again)
            if not some:
                continue
            log(f"resize: {shmem}: {vmm}: {'+' if grow else '-'}1 GiB, "
                f"{'again' if again else 'first'}: ms {spread([s['ms'] for s in some])}; "
                f"{machine_load()}")
            for s in some:
                log(f"resize:   boot {s['boot']}, cycle {s['cycle']}: {s['ms']:.1f} ms; CPU "
                    f"outside the vCPU {s['outside_ms']:.1f} ms, the vCPU's system time "
                    f"{s['system_ms']:.0f} ms; interrupts {s['interrupts']}; exits by hardware "
                    f"reason: " + ", ".join(f"{reason:#x} {nr}" for reason, nr in s["exits"][:6]))


def why(ours, theirs):
    def side(some):
        return (f"{median([faults(s) for s in some]):.0f} nested page faults, "
                f"{median([host_ms(s) for s in some]):.0f} ms of the VMM's CPU")
    return f"Ebb: {side(ours)}; QEMU: {side(theirs)}; {ours[0]['interrupts']} and " \
           f"{theirs[0]['interrupts']} interrupts."


def compare(shmem, memory, ours, theirs, peer_name):
    for grow in (True, False):
        for again in (False, True):
            mine, peer = steps(ours, grow, again), steps(theirs, grow, again)
            if not mine or not peer:
                say(f"resize: {title(grow, again, shmem, memory)}: no time was left for it")
                continue
            yield Row(title(grow, again, shmem, memory), "ms", median([s["ms"] for s in mine]),
                      median([s["ms"] for s in peer]), peer_name, 1, why=why(mine, peer))
        mine, peer = (steps(r, grow, False) + steps(r, grow, True) for r in (ours, theirs))
        yield Row(cpu_title(grow, shmem, memory), "ms", median([host_ms(s) for s in mine]),
                  median([host_ms(s) for s in peer]), peer_name)


def rows():
    qemu = installed_qemu()
    if output(f"{ROOT}/tests/rig/rig", "--mode").strip() != "nested" and os.geteuid() != 0:
        raise Skip("tracepoints are for root alone")
    initrd = f"{ROOT}/build/resize-initrd.img"
    output(f"{ROOT}/guests/linux/mkinitrd", "-m",
           "virtio_ring virtio virtio_mmio virtio_pci virtio_mem button evdev", "-o", initrd)
    kernel = output(f"{ROOT}/tests/rig/kernels", "path", "cloud", "vmlinux").strip()
    for shmem, run in RUN.items():
        say(f"resize: shmem_enabled={shmem}: up to {run['boots']} times {run['cycles']} cycles of "
            f"ebb and QEMU with {' and '.join(run['memories'])}; {machine_load()}")
        job = {**run, "bytes": BYTES, "seconds": SECONDS, "shmem": shmem, "qemu": qemu.command,
               "memories": {m: MEMORIES[m] for m in run["memories"]}}
        result = in_rig("resize_l1.py", job, RIG_SECONDS, EBB_KERNEL=kernel, EBB_INITRD=initrd)
        for vmm, some in result.items():
            tell(shmem, vmm, some)
        for memory in run["memories"]:
            yield from compare(shmem, memory, result["ebb"], result[memory],
                               f"QEMU {qemu.version}, {memory}")


def title(grow, again, shmem, memory):
    return f"{'+' if grow else '-'}1 GiB {'again' if again else 'first'}, {shmem}, {memory}"


def cpu_title(grow, shmem, memory):
    return f"{'+' if grow else '-'}1 GiB, VMM's CPU, {shmem}, {memory}"


ROWS = [(text, "ms") for shmem, run in RUN.items() for memory in run["memories"]
        for grow in (True, False)
        for text in (title(grow, False, shmem, memory), title(grow, True, shmem, memory),
                     cpu_title(grow, shmem, memory))]
