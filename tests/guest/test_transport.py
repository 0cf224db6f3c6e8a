# SPDX-License-Identifier: Apache-2.0
"""The guests' drivers on both of their transports: what they take for right on Ebb's virtio-mmio is
also what another device, QEMU's virtio-mem-pci, does. And interrupts instead of polling on both."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from tap import main, skip, test
from vm import ROOT, SLOW, MiB, Vm, guest

SIZE = 64 * MiB
QEMU_PASSED = 1  # isa-debug-exit: twice the code, plus 1


def need_native_kvm():
    """Firmware, and interrupts that end HLT, are kernel code."""
    mode = subprocess.run([f"{ROOT}/tests/rig/rig", "--mode"], check=True, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout
    if mode != "direct\n":
        skip("this KVM emulates the guest's kernel code (guest-kvm runs it where it does not)")


def on_qemu(name, params=""):
    """Runs a guest to its end; what it printed."""
    need_native_kvm()
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        skip("no qemu-system-x86_64 is installed")
    done = subprocess.run(
        [qemu, "-M", "q35,accel=kvm", "-cpu", "host", "-nodefaults", "-no-user-config", "-display",
         "none", "-m", "64M,slots=1,maxmem=2G", "-serial", "stdio",
         "-object", "memory-backend-memfd,id=m,size=256M", "-device",
         f"virtio-mem-pci,memdev=m,requested-size={SIZE // MiB}M,block-size=2M",
         "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", guest(name),
         "-append", params],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        timeout=60 * SLOW, text=True)
    assert done.returncode == QEMU_PASSED, f"exit code {done.returncode}: {done.stdout}"
    assert f"PASS guests/{name}.c" in done.stdout, done.stdout
    return done.stdout


@test
def a_guest_that_waits_by_interrupt_takes_and_gives_back():
    need_native_kvm()
    with Vm("-k", guest("backing"), "-m", "64M", "-e", f"256M,requested={SIZE // MiB}M",
            "--debug-exit", "-p", "wait=1 rounds=2") as vm:
        vm.expect(r"^step start\r\n")
        for number in 1, 2:
            vm.send("g")
            vm.expect(rf"^step populated {number}\r\n", 60)
            assert vm.resident() == SIZE, f"{vm.resident() >> 10} KiB are resident"
            vm.send("g")
            vm.expect(rf"^step released {number}\r\n", 60)
            assert vm.resident() == 0, f"{vm.resident() >> 10} KiB are resident"
        vm.send("g")
        vm.expect("^PASS ")
        assert vm.wait() == 0


@test
def the_same_guest_does_so_on_qemu_by_pci():
    assert on_qemu("backing", "rounds=2").count("step released") == 2


@test
def the_driver_of_the_plug_test_agrees_with_another_device():
    on_qemu("plug")


main()
