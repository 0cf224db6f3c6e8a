# SPDX-License-Identifier: Apache-2.0
"""QEMU's microvm with a virtio-balloon, running one of our bare-metal guests: another device for
the guests' driver, and what Ebb's balloon is measured against."""
import os
import re
import shutil

from vm import KiB, MiB, Vm, guest, open_files

MACHINE = "acpi=off,pit=off,pic=off,rtc=off,isa-serial=on,x-option-roms=off,memory-backend=m"
MEMFD, ANONYMOUS = "memory-backend-memfd,share=on", "memory-backend-ram"
PASSED = 1  # isa-debug-exit: twice the code, plus 1
FAILED = 3
BALLOON = "/machine/peripheral/balloon"
PAGE = 4 * KiB


class MicroVm(Vm):
    """MEMORY is the object behind all of the guest's memory, of MIB; OPTIONS are the balloon's,
    WORDS go in front of it, COMMAND is how QEMU starts."""

    def __init__(self, name, params="", mib=256, memory=MEMFD, options="", command=None, cpus=1,
                 words=()):  # pylint: disable=too-many-arguments
        self.bytes = mib * MiB
        super().__init__(
            *(command or [shutil.which("qemu-system-x86_64")]),
            "-M", f"microvm,accel=kvm,{MACHINE}", "-cpu", "host", "-nodefaults",
            "-no-user-config", "-display", "none", "-smp", cpus, "-m", f"{mib}M",
            "-object", f"{memory},id=m,size={mib}M", "-serial", "stdio",
            "-global", "virtio-mmio.force-legacy=false",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *words,
            "-device", f"virtio-balloon-device,id=balloon{options and ',' + options}",
            "-kernel", guest(name), "-append", f"cpus={cpus} {params}")

    def argv(self, *arguments):
        return [*arguments, "-qmp", f"unix:{self.qmp_path},server=on,wait=off"]

    def end(self):
        if self.poll() is None:
            self.process.kill()

    def held(self):
        """Bytes of host memory behind the guest's, as the host counts them: blocks of a memfd, or
        the pages of the mapping of that size."""
        for path, target in open_files(self.pid):
            if target.startswith("/memfd:memory-backend-memfd "):
                return os.stat(path).st_blocks * 512
        with open(f"/proc/{self.pid}/smaps", encoding="ascii") as f:
            for mapping in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", f.read()):
                if re.search(rf"\nSize: +{self.bytes // KiB} kB", mapping):
                    return int(re.search(r"\nRss: +(\d+) kB", mapping).group(1)) * KiB
        raise AssertionError("no mapping of the guest's memory")

    def inflate(self, pages):
        """The guest shall have that many pages in its balloon."""
        self.qmp.command("balloon", value=self.bytes - pages * PAGE)
