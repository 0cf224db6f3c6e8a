# SPDX-License-Identifier: Apache-2.0
"""The demo itself: +1 GiB and -1 GiB, the guest's figure beside the host's."""
import contextlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from linux import INITRD, KERNEL, LinuxVm, huge_pages  # pylint: disable=wrong-import-position
from vm import EBB, GiB, MiB, wait_until  # pylint: disable=wrong-import-position


def figures(vm, when):
    elastic = vm.resident("ebb-mem0")
    print(f"  {when:28} {vm.meminfo('MemTotal') // MiB:8} MiB {elastic // MiB:14} MiB "
          f"{vm.resident('ebb-boot') // MiB:14} MiB", flush=True)
    return elastic


def resize(vm, size, total):
    print(f"$ ebb resize demo {size} --wait --timeout 60", flush=True)
    subprocess.run([EBB, "resize", vm.qmp_path, size, "--wait", "--timeout", "60"], check=True)
    wait_until(lambda: vm.meminfo("MemTotal") == total, 30, "the guest to online what it plugged")


def main():
    print(f"$ ebb run -n demo -m 512M --elastic 4G -k {os.path.basename(KERNEL)} "
          f"-i {os.path.basename(INITRD)} -p ...", flush=True)
    # The emulated machine of the rig is ours: huge pages there save half a minute.
    emulated = os.environ.get("EBB_RIG_L1") == "1"
    with huge_pages() if emulated else contextlib.nullcontext(), \
            LinuxVm("-m", "512M", "--elastic", "4G") as vm:
        vm.ready()
        print(f"guest: {vm.sh('uname -sr')} is up, unmodified", flush=True)
        print(f"  {'':28} {'MemTotal':>12} {'host: elastic':>18} {'host: boot':>18}")
        total = vm.meminfo("MemTotal")
        before = figures(vm, "before")
        resize(vm, "+1G", total + GiB)
        figures(vm, "1 GiB more")
        vm.sh("dd if=/dev/zero of=/dev/shm/file bs=1M count=128 2>/dev/null")
        figures(vm, "guest wrote 128 MiB")
        vm.sh("rm /dev/shm/file")
        resize(vm, "-1G", total)
        after = figures(vm, "1 GiB less")
        vm.send("poweroff -f\n")
        code = vm.wait(60)
    if code != 0:
        print(f"demo: the VM ended with exit code {code}")
        return 1
    if after > before + 2 * MiB:
        print(f"demo: the host still holds {(after - before) // 1024} KiB of elastic memory")
        return 1
    print(f"Host memory behind the elastic region: {before // 1024} KiB before, {after // 1024} "
          "KiB after.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
