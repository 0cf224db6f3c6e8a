# SPDX-License-Identifier: Apache-2.0
"""The part of row_blk.py that runs where KVM is real. Prints JSON: {way: {depth: {ns: [...],
syscalls: {name: nr}, exits: nr}}}, each figure per read of 4 KiB.

argv: a JSON object {mib, reads, rounds, modules: root of the rig's kernel modules, qemu: [words],
ways: {name: {ebb: [words]} or {drive: options}}}.

guests/diskspeed.c reads files of the same size on ext4 (a loop device over memory), in the page
cache, at random places. VMs stand side by side, stopped but for the one whose turn it is.
  ns        what the guest timed
  syscalls  of all threads of the VMM in a round of its own, by name; KVM_RUN is one of the ioctls
  exits     of the guest in that round, to the kernel or to the VMM
"""
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from bench import alternate
from micro_vm import MicroVm
from tracing import histogram, syscalls, triggers
from vm import Vm, guest

SECONDS = 120
DEPTHS = {"1": b"1", "32": b"n"}
EXIT = "kvm_exit"


@contextlib.contextmanager
def file_system(job):
    """A folder on ext4."""
    with open("/proc/filesystems", encoding="ascii") as f:
        known = "\text4\n" in f.read() and os.path.exists("/dev/loop-control")
    if not known:
        subprocess.run(["/usr/sbin/modprobe", "-a", "-d", job["modules"], "loop", "ext4"],
                       check=True)
    folder = tempfile.mkdtemp(prefix="ebb-bench-")
    image = folder + ".ext4"
    with open(image, "wb") as f:
        f.truncate((len(job["ways"]) + 1) * 2 * job["mib"] << 20)
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-t", "ext4", image], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["/usr/bin/mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["/usr/bin/umount", folder], check=False)
        os.unlink(image)
        os.rmdir(folder)


def start(job, way, path, params):
    if "ebb" in way:
        return Vm("-k", guest("diskspeed"), "-m", "64M", "--debug-exit", "-p", params,
                  "--disk", path + ",readonly", *way["ebb"])
    return MicroVm("diskspeed", params, 64, command=job["qemu"], words=(
        "-drive", f"if=none,id=d,format=raw,readonly=on,file={path}{way['drive']}",
        "-device", "virtio-blk-device,drive=d"))


def read(vm, depth):
    vm.send(DEPTHS[depth])
    nr, ns = map(int, vm.expect(rf"^done (\d+) depth {depth} ns (\d+)\r\n", SECONDS).groups())
    return ns / nr


def turn(vm, depth):
    vm.signal(signal.SIGCONT)
    ns = read(vm, depth)
    vm.signal(signal.SIGSTOP)
    return ns


def end(vms):
    for vm in vms.values():
        vm.signal(signal.SIGCONT)
        vm.send("q")
        vm.expect(r"^PASS ", SECONDS)


def counted(vm, depth, reads):
    vm.signal(signal.SIGCONT)
    with syscalls(vm.pid) as calls, triggers([(EXIT, "hist:keys=exit_reason")]):
        read(vm, depth)
        exits = sum(nr for _, nr in histogram(EXIT))
    vm.signal(signal.SIGSTOP)
    return {"syscalls": {name: nr / reads for name, nr in calls.items()}, "exits": exits / reads}


def main():
    job = json.loads(sys.argv[1])
    result = {}
    with file_system(job) as folder, contextlib.ExitStack() as stack:
        vms = {}
        for name, way in job["ways"].items():
            # One each: QEMU does not share with anybody who locks all of a file.
            path = f"{folder}/{len(vms)}.img"
            with open(path, "wb") as f:
                f.write(os.urandom(1 << 20) * job["mib"])
            vm = vms[name] = stack.enter_context(
                start(job, way, path, f"reads={job['reads']} depth=32"))
            vm.expect(r"^ready\r\n", SECONDS)
            for depth in DEPTHS:
                read(vm, depth)  # threads are there, and what else comes at first
            vm.signal(signal.SIGSTOP)
        for depth in DEPTHS:
            ns = alternate({name: lambda v=vm, d=depth: turn(v, d) for name, vm in vms.items()},
                           job["rounds"], warm_up=0)
            for name, vm in vms.items():
                one = {"ns": ns[name], **counted(vm, depth, job["reads"])}
                result.setdefault(name, {})[depth] = one
                print(f"bench: blk: depth {depth}: {name}: {one}", file=sys.stderr, flush=True)
        end(vms)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
