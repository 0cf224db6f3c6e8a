# SPDX-License-Identifier: Apache-2.0
"""attack: a stock Debian kernel reads, then writes, 1 GiB that its virtio-mem device has not plugged.

Where KVM is real (tests/rig). The same kernel, initrd and program (guests/linux/devmem_sweep.c, one
word in every 4 KiB, by /dev/mem) on Ebb and on QEMU's virtio-mem, each with a memfd behind the
region; attack_l1.py samples the memfd's blocks meanwhile. What the host has lost, and what of the
written words can be read a second later.
"""
from bench import ROOT, Row, in_rig, installed_qemu, log, output, say

BYTES = 1 << 30
RIG_SECONDS = 560
MIB = 1 << 20


def rows():
    qemu = installed_qemu()
    name = f"QEMU {qemu.version} virtio-mem"
    initrd = f"{ROOT}/build/attack-initrd.img"
    output(f"{ROOT}/guests/linux/mkinitrd", "-m", "virtio_ring virtio virtio_mmio button evdev",
           "-a", f"{ROOT}/build/guests/linux/devmem_sweep:bin/devmem_sweep", "-o", initrd)
    kernel = output(f"{ROOT}/tests/rig/kernels", "path", "cloud", "vmlinux").strip()
    job = {"kernel": kernel, "initrd": initrd, "bytes": BYTES, "qemu": qemu.command}
    say("attack: 1 GiB read and written on Ebb and on QEMU")
    result = in_rig("attack_l1.py", job, RIG_SECONDS, EBB_KERNEL=kernel, EBB_INITRD=initrd)
    for who, figures in result.items():
        log(f"attack: {who}: {figures}")
    ours, theirs = result["ebb"], result["qemu"]
    for (title, unit), key, scale in zip(ROWS, ("peak", "after_1s", "survived", "violations"),
                                         (MIB, MIB, 1, 1)):
        yield Row(title, unit, ours[key] / scale, theirs[key] / scale, name,
                  1 if key == "peak" else None, absolute=True)


ROWS = [("attack: host memory taken, at most", "MiB"), ("attack: the same, 1 s later", "MiB"),
        ("attack: written words still there", "words"), ("attack: accesses reported", "accesses")]
