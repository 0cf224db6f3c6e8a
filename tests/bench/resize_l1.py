# SPDX-License-Identifier: Apache-2.0
"""The part of row_resize.py that runs where KVM is real, as root: grows and shrinks the same stock
kernel on every VMM in turn, by the same requests. Prints JSON: {VMM: [one resize, in order]}.

argv: a JSON object {bytes, boots, cycles, seconds, shmem, qemu: [words], memories: {name: object}}.

A boot brings up all VMMs; each then goes through CYCLES times +BYTES, -BYTES while the others are
idle; none is begun when SECONDS have passed. A resize lasts from the command (qom-set
requested-size) to the last interrupt by which the device answers, as the kernel's own tracepoint
has it; qom-get tells every 250 ms whether it is complete. Asking every 5 ms would be most of what a
VMM has to do where that is emulated.
"""
import contextlib
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from linux import PARAMS, LinuxVm, huge_pages
from qemu_vm import QemuVm
from tracing import TRACING, histogram, monotonic, read, traced, triggers
from vm import MiB, wait_until

MEM0 = "/machine/peripheral/mem0"
PCI_PARAMS = PARAMS.replace("pci=off ", "")
BOOT_SECONDS = 120
RESIZE_SECONDS = 200
SETTLE_S = 1
POLL_S = 0.25
# What devices send; above are the local timer's vector and other vectors of Linux's own.
IRQ, FROM_DEVICE = "kvm_apic_accept_irq", "vec < 0xec"
EXIT = "kvm_exit"
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def process_ms(pid):
    """CPU time of all threads, those that have ended too."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e6  # as clock_getcpuclockid() makes it


def vcpu_ms(pid, tid):
    """Of a vCPU thread: all of its CPU time, and what of it is the kernel's and not the guest's."""
    task = f"/proc/{pid}/task/{tid}"
    with open(f"{task}/schedstat", encoding="ascii") as f:
        total = int(f.read().split()[0]) / 1e6
    with open(f"{task}/stat", encoding="ascii") as f:
        return total, int(f.read().rsplit(")", 1)[1].split()[12]) * TICK_MS


def cpu_ms(vm):
    """CPU time outside the vCPU, and system time of the vCPU."""
    everything, (total, system) = process_ms(vm.pid), vcpu_ms(vm.pid, vm.vcpu)
    return everything - total, system


def resize(vm, size):
    """Wall time and CPU times in ms, interrupts of devices, VM exits by reason."""
    with traced(IRQ, FROM_DEVICE), triggers([(EXIT, "hist:keys=exit_reason")]):
        before, begin = cpu_ms(vm), time.monotonic()
        vm.qmp.command("qom-set", path=MEM0, property="requested-size", value=size)
        while vm.qmp.command("qom-get", path=MEM0, property="size") != size:
            vm.pump(0)
            assert time.monotonic() < begin + RESIZE_SECONDS, \
                f"{size} bytes are not there within {RESIZE_SECONDS} s"
            time.sleep(POLL_S)
        after = cpu_ms(vm)
        stamps = [float(s) for s in re.findall(rf"\s([\d.]+): {IRQ}:", read(f"{TRACING}/trace"))]
        exits = histogram(EXIT)
    assert stamps, "no interrupt of a device was seen"
    outside, system = (b - a for a, b in zip(before, after))
    return {"ms": (stamps[-1] - begin) * 1e3, "outside_ms": outside, "system_ms": system,
            "interrupts": len(stamps), "exits": [[keys[0], nr] for keys, nr in exits]}


def start(job, stack):
    """The VMMs, their guests ready."""
    vms = {"ebb": lambda: LinuxVm("-m", "512M", "-e", f"{job['bytes'] // MiB}M", base=PCI_PARAMS)}
    for name, memory in job["memories"].items():
        vms[name] = lambda m=memory: QemuVm(job["qemu"], f"{m},size={job['bytes']}", PCI_PARAMS)
    for name, make in vms.items():
        vm = vms[name] = stack.enter_context(make())
        vm.ready(BOOT_SECONDS)
        vm.vcpu = vm.qmp.command("query-cpus-fast")[0]["thread-id"]
        wait_until(lambda v=vm: v.sh("ls /sys/bus/virtio/drivers/virtio_mem | grep -c virtio",
                                     check=False) == "1", 10, "a virtio-mem driver")
    return vms


def measure(job):
    results, end = {}, time.monotonic() + job["seconds"]
    for boot in range(job["boots"]):
        with contextlib.ExitStack() as stack:
            vms = start(job, stack)
            for i in range(job["cycles"]):
                for name, vm in vms.items() if time.monotonic() < end else ():
                    for target in (job["bytes"], 0):
                        one = resize(vm, target)
                        results.setdefault(name, []).append(
                            {"boot": boot, "cycle": i, "grow": target > 0, **one})
                        print(f"bench: resize: {name}, boot {boot}, cycle {i}: "
                              f"{'+' if target else '-'} {one['ms']:.0f} ms", file=sys.stderr,
                              flush=True)
                        time.sleep(SETTLE_S)
    return results


def main():
    job = json.loads(sys.argv[1])
    with huge_pages(job["shmem"]), monotonic():
        print(json.dumps(measure(job)))


main()
