# SPDX-License-Identifier: Apache-2.0
"""The part of row_attack.py that runs where KVM is real: the same stock kernel, on each VMM in
turn, reads and then writes memory that its virtio-mem device has not plugged. Prints JSON.

argv: a JSON object {kernel, initrd, bytes, qemu: [words]}.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from linux import PARAMS, LinuxVm  # pylint: disable=wrong-import-position
from vm import MiB  # pylint: disable=wrong-import-position

SECONDS = 400


class QemuVm(LinuxVm):
    """The same console and host figures, QEMU behind them."""

    def __init__(self, job):  # pylint: disable=super-init-not-called
        self.folder = tempfile.mkdtemp(prefix="ebb-bench-")
        self.qmp_path = os.path.join(self.folder, "qmp.sock")
        self.process = subprocess.Popen(
            [*job["qemu"], "-M", "q35,accel=kvm", "-cpu", "host", "-nodefaults",
             "-no-user-config", "-display", "none", "-m", "512M,slots=1,maxmem=8G",
             "-object", f"memory-backend-memfd,id=m,size={job['bytes']},share=on",
             "-device", "virtio-mem-pci,id=mem0,memdev=m,requested-size=0,block-size=2M",
             "-serial", "stdio", "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
             "-kernel", job["kernel"], "-initrd", job["initrd"], "-append", PARAMS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.process.pid
        self.output = self.errors = b""
        self._qmp, self.seen, self.commands = None, 0, 0
        for stream in (self.process.stdout, self.process.stderr):
            os.set_blocking(stream.fileno(), False)

    def end(self):
        self.process.kill()


def attack(vm, memfd, size):
    """Bytes of host memory more than before: at most, and one second later; the guest's words."""
    vm.ready(SECONDS)
    address = vm.qmp.command("query-memory-devices")[0]["data"]["memaddr"]
    before, peak, done = vm.resident(memfd), [0], threading.Event()
    tables = vm.status("VmPTE")

    def watch():
        while not done.wait(0.002):
            peak[0] = max(peak[0], vm.resident(memfd) - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = {}
    try:
        for kind in ("read", "write"):
            said = vm.sh(f"devmem_sweep {address:#x} {size} {kind}", SECONDS)
            found = re.search(r"sweep: (\d+) accesses, (\d+) other than 0, (\d+) ms", said)
            result[kind] = dict(zip(("accesses", "nonzero", "ms"), map(int, found.groups())))
        time.sleep(1)
        result["after_1s"] = vm.resident(memfd) - before
        said = vm.sh(f"devmem_sweep {address:#x} {size} read", SECONDS)
        result["survived"] = int(re.search(r"(\d+) other than 0", said).group(1))
    finally:
        done.set()
        watcher.join()
    result["peak"] = peak[0]
    result["tables"] = vm.status("VmPTE") - tables
    return result


def main():
    job = json.loads(sys.argv[1])
    result = {}
    with LinuxVm("-m", "512M", "-e", f"{job['bytes'] // MiB}M") as vm:
        result["ebb"] = attack(vm, "ebb-mem0", job["bytes"])
        counts = vm.qmp.command("__org.ebb_query-guard")["regions"][0]
        result["ebb"]["violations"] = counts["violations"]
    with QemuVm(job) as vm:
        result["qemu"] = attack(vm, "memory-backend-memfd", job["bytes"])
        result["qemu"]["violations"] = 0
    print(json.dumps(result))



main()
