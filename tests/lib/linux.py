# SPDX-License-Identifier: Apache-2.0
"""A stock Linux kernel as the guest, with a shell on its serial console."""
import contextlib
import os
import re

from vm import MiB, Vm, wait_until

# tests/linux/prepare puts them there.
KERNEL = os.environ.get("EBB_KERNEL", "")
BZIMAGE = os.environ.get("EBB_BZIMAGE", "")
INITRD = os.environ.get("EBB_INITRD", "")
# The same for guests with a root file system on a disk; an image of one.
ROOT_INITRD = os.environ.get("EBB_ROOT_INITRD", "")
ROOT = os.environ.get("EBB_ROOT", "")
# The same as INITRD with the agent, which ebb.agent=0 leaves out, and programs that take memory.
AGENT_INITRD = os.environ.get("EBB_AGENT_INITRD", "")
PARAMS = ("console=ttyS0 quiet ebb.echo=0 pci=off panic=-1 memhp_default_state=online_movable "
          "no_timer_check random.trust_cpu=on cryptomgr.notests")

LINK_PORTS = ("mkdir -p /dev/virtio-ports; for n in /sys/class/virtio-ports/*/name; do "
              "p=${n%/name}; ln -sf /dev/${p##*/} /dev/virtio-ports/$(cat $n); done; "
              "ls /dev/virtio-ports")

SHMEM_ENABLED = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"


@contextlib.contextmanager
def huge_pages(setting="advise"):
    """Huge pages for guest memory while the block runs. A guest writes what it unplugs
    (init_on_alloc); under emulation that takes ten times as long with 4 KiB pages."""
    with open(SHMEM_ENABLED, encoding="ascii") as f:
        before = re.search(r"\[(\w+)\]", f.read()).group(1)
    with open(SHMEM_ENABLED, "w", encoding="ascii") as f:
        f.write(setting)
    try:
        yield
    finally:
        with open(SHMEM_ENABLED, "w", encoding="ascii") as f:
            f.write(before)


class LinuxVm(Vm):
    """Boots to the shell. ARGUMENTS as for ebb run; PARAMS come after BASE."""

    def __init__(self, *arguments, params="", kernel=None, base=PARAMS,
                 initrd=None):
        super().__init__("-k", kernel or KERNEL, "-i", initrd or INITRD, "-p", f"{base} {params}",
                         *arguments)
        self.commands = 0

    def ready(self, seconds=120):
        self.expect("ebb-guest: ready", seconds)
        return self

    def sh(self, command, seconds=60, check=True):
        """Runs COMMAND in the guest's shell; its output."""
        self.commands += 1
        mark = f"@{self.commands}"
        self.send(f"echo {mark}b; {command}\necho \"$? {mark}e\"\n")
        found = self.expect(rf"(?s){mark}b\r?\n(.*?)(\d+) {mark}e\r?\n", seconds)
        output = found.group(1).decode(errors="replace").replace("\r", "")
        output = re.sub(r"(?m)^# ?", "", output)
        if check:
            assert found.group(2) == b"0", f"guest: {command}: {output}"
        return output.strip()

    def ports(self, wanted):
        """Links in /dev/virtio-ports, as udev makes them on a whole system, of ports with these
        names; one has its name a moment after its driver."""
        wait_until(lambda: set(self.sh(LINK_PORTS, check=False).split()) == wanted, 0,
                   f"ports {wanted}")

    def make_file(self, path, mib):
        """A file of so many MiB (at most 512) of which no two pages are alike. One MiB is random,
        which takes a guest long to make; the rest is that again, each time moved by a number."""
        self.sh("head -c 1m /dev/urandom > /tmp/random && "
                f"for i in $(seq {mib}); do echo $i; cat /tmp/random; done > {path} && "
                f"truncate -s {mib * MiB} {path} && rm /tmp/random", 120)

    def meminfo(self, key):
        """A line of the guest's /proc/meminfo in bytes."""
        text = self.sh(f"grep ^{key}: /proc/meminfo")
        return int(re.search(rf"{key}:\s+(\d+) kB", text).group(1)) << 10
