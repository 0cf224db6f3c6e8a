# SPDX-License-Identifier: Apache-2.0
"""The part of row_attack.py that runs where KVM is real: the same stock kernel, on each VMM in
turn, reads and then writes memory that its virtio-mem device has not plugged. Prints JSON.

argv: a JSON object {kernel, initrd, bytes, qemu: [words]}.
"""
import json
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from linux import PARAMS, LinuxVm
from qemu_vm import QemuVm
from vm import MiB

SECONDS = 400


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
    with QemuVm(job["qemu"], f"memory-backend-memfd,size={job['bytes']},share=on", PARAMS) as vm:
        result["qemu"] = attack(vm, "memory-backend-memfd", job["bytes"])
        result["qemu"]["violations"] = 0
    print(json.dumps(result))


main()
