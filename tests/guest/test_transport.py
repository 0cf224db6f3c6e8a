# SPDX-License-Identifier: Apache-2.0
"""The guests' drivers on other devices: what they take for right on Ebb's virtio-mmio is also what
QEMU's virtio-mem-pci and the balloon of its microvm do. And interrupts instead of polling."""
import ctypes
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from micro_vm import FAILED, MEMFD, PAGE, PASSED, MicroVm
from tap import main, skip, test
from vm import ROOT, MiB, Vm, guest, hang_limit

SIZE = 64 * MiB
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2


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
        timeout=hang_limit(), text=True)
    assert done.returncode == PASSED, f"exit code {done.returncode}: {done.stdout}"
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


def micro_vm(name, params="", **options):
    need_native_kvm()
    if not shutil.which("qemu-system-x86_64"):
        skip("no qemu-system-x86_64 is installed")
    return MicroVm(name, params, mib=96, **options)


@test
def the_balloon_guest_agrees_with_another_balloon():
    pages = 8192
    for params in ("interrupts=1", "order=random tell=0"):
        with micro_vm("balloon", params) as vm:
            vm.expect(r"^size 0 ", 60)
            full = vm.held()
            vm.inflate(pages)
            vm.expect(rf"^size {pages} target {pages} ", 60)
            assert vm.held() <= full - pages * PAGE + MiB
            vm.inflate(0)
            vm.expect(r"^size 0 ", 60)
            vm.send("q")
            vm.expect(r"^PASS ", 60)
            assert vm.wait() == PASSED


@test
def so_does_the_one_that_reports():
    for params in ("bytes=32M", "size=4K bytes=8M order=random", "bytes=32M poison=1"):
        with micro_vm("report", params, options="free-page-reporting=on") as vm:
            vm.expect(r"^PASS ", 60)
            assert vm.wait() == PASSED


def punch(vm, start, size):
    fd = os.open(vm.memfd("memory-backend-memfd"), os.O_RDWR)
    try:
        done = ctypes.CDLL(None, use_errno=True).fallocate(
            fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, ctypes.c_long(start),
            ctypes.c_long(size))
        assert not done, os.strerror(ctypes.get_errno())
    finally:
        os.close(fd)


def hinting_on_qemu(discards):
    """A migration that stays at its beginning has the guest hint; QEMU itself discards nothing.
    With DISCARDS all that was hinted at goes then, whoever has written it. The exit code."""
    with micro_vm("hint", memory=MEMFD, cpus=2, words=("-object", "iothread,id=io"),
                  options="free-page-hint=on,iothread=io") as vm:
        area = vm.expect(r"^area (0x\w+) bytes (\d+)\r\n", 60)
        vm.expect(r"^ready\r\n", 60)
        vm.qmp.command("migrate-set-parameters", max_bandwidth=2 * MiB)
        vm.qmp.command("migrate", uri="exec:cat >/dev/null")
        vm.expect(r"^run 0x\w+ hinted [1-9]\d*\r\n", 60)
        if discards:
            punch(vm, int(area.group(1), 16), int(area.group(2)))
        vm.qmp.command("migrate_cancel")
        lost = int(vm.expect(r"^hinted \d+ .* lost (\d+)\r\n", 60).group(1))
        assert bool(lost) == discards, f"{lost} words are lost"
        return vm.wait()


@test
def the_guest_that_hints_sees_when_its_memory_is_discarded_blindly():
    assert hinting_on_qemu(False) == PASSED
    assert hinting_on_qemu(True) == FAILED


main()
