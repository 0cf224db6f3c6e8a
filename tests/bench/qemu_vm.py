# SPDX-License-Identifier: Apache-2.0
"""QEMU in the place of Ebb: the same kernel and console, and the same questions to the host."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from linux import INITRD, KERNEL, LinuxVm
from vm import Vm


class QemuVm(LinuxVm):
    """q35 with a virtio-mem-pci, mem0, of 2 MiB blocks; MEMORY is the object behind it without its
    id, COMMAND the words that start QEMU."""

    def __init__(self, command, memory, params):
        Vm.__init__(  # pylint: disable=super-init-not-called,non-parent-init-called
            self, *command, "-M", "q35,accel=kvm", "-cpu", "host", "-nodefaults",
            "-no-user-config", "-display", "none", "-m", "512M,slots=1,maxmem=8G",
            "-object", f"{memory},id=m",
            "-device", "virtio-mem-pci,id=mem0,memdev=m,requested-size=0,block-size=2M",
            "-serial", "stdio", "-kernel", KERNEL, "-initrd", INITRD, "-append", params)
        self.commands = 0

    def argv(self, *arguments):
        return [*arguments, "-qmp", f"unix:{self.qmp_path},server=on,wait=off"]

    def end(self):
        self.process.kill()
