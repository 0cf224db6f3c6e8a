# SPDX-License-Identifier: Apache-2.0
"""Huge pages of Ebb's own making, whatever the host's shmem_enabled: seen in the kernel's account
of Ebb's mapping, which the guest's accesses fill (KVM maps by it), and in the memfd's blocks."""
import mmap
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, skip, test  # pylint: disable=wrong-import-position
from vm import MiB, Vm, guest, idles, loop_state, wait_until  # pylint: disable=wrong-import-position

BOOT, SIZE = 64 * MiB, 64 * MiB
HALF = SIZE // 2
MADV_COLLAPSE = 25


def need_collapse():
    with mmap.mmap(-1, mmap.PAGESIZE) as probe:
        try:
            probe.madvise(MADV_COLLAPSE, 0, 0)
        except OSError:
            skip("this kernel has no MADV_COLLAPSE (Linux 6.1)")


def plug_vm(huge):
    return Vm("-k", guest("plug"), "-m", "64M", "-e", f"256M,requested={SIZE >> 20}M",
              "--debug-exit", "-p", "wait=1", f"--huge={huge}", "--loglevel=info")


def step(vm, text):
    vm.expect(rf"^step {text}\r\n", 60)


def go_on(vm, text):
    vm.send("g")
    step(vm, text)


def check(vm, resident, huge):
    assert vm.resident() == resident, f"{vm.resident() >> 10} KiB are resident"
    assert vm.mapped_huge() == huge, f"{vm.mapped_huge() >> 10} KiB are huge"


def becomes_huge(vm, size):
    wait_until(lambda: vm.mapped_huge() == size, 60, f"{size >> 20} MiB of huge pages")
    check(vm, size, size)


def finish(vm):
    go_on(vm, "end")
    check(vm, 0, 0)
    vm.send("g")
    vm.expect("^PASS ")
    assert vm.wait() == 0


@test
def always_is_huge_from_the_start_and_again_when_plugged_again():
    need_collapse()
    with plug_vm("always") as vm:
        step(vm, "start")
        assert vm.resident("ebb-boot") == BOOT
        assert vm.mapped_huge("ebb-boot") == BOOT
        check(vm, 0, 0)
        for text in "plugged", "written", "verified", "reset":
            go_on(vm, f"{text} {SIZE}")
            check(vm, SIZE, SIZE)
        go_on(vm, f"unplugged {HALF}")
        check(vm, HALF, HALF)
        for text in "replugged", "rewritten":
            go_on(vm, f"{text} {SIZE}")
            check(vm, SIZE, SIZE)
        finish(vm)


@test
def auto_makes_huge_what_the_guest_has_filled_and_adds_nothing():
    need_collapse()
    with plug_vm("auto") as vm:
        step(vm, "start")
        go_on(vm, f"plugged {SIZE}")
        check(vm, 0, 0)
        go_on(vm, f"written {SIZE}")
        becomes_huge(vm, SIZE)
        go_on(vm, f"verified {SIZE}")
        go_on(vm, f"reset {SIZE}")
        check(vm, SIZE, SIZE)
        go_on(vm, f"unplugged {HALF}")
        check(vm, HALF, HALF)
        go_on(vm, f"replugged {SIZE}")
        check(vm, HALF, HALF)
        go_on(vm, f"rewritten {SIZE}")
        becomes_huge(vm, SIZE)
        finish(vm)


@test
def never_makes_none():
    with plug_vm("never") as vm:
        step(vm, "start")
        for text, resident in ((f"plugged {SIZE}", 0), (f"written {SIZE}", SIZE),
                               (f"verified {SIZE}", SIZE), (f"reset {SIZE}", SIZE),
                               (f"unplugged {HALF}", HALF), (f"replugged {SIZE}", HALF),
                               (f"rewritten {SIZE}", SIZE)):
            go_on(vm, text)
            check(vm, resident, 0)
        # Longer than the scan would wait.
        time.sleep(2)
        check(vm, SIZE, 0)
        assert vm.mapped_huge("ebb-boot") == 0
        finish(vm)


@test
def blocks_that_were_violated_are_huge_when_plugged():
    need_collapse()
    used = 16 * MiB  # the first block of it is plugged from the start, for a memory slot
    with Vm("-k", guest("sweep"), "-m", "64M", "-e", "256M,requested=32M", "--debug-exit", "-p",
            f"wait=1 slots=1 read={used} write={used} regrow={used}", "--huge=always") as vm:
        step(vm, "start .*")
        for text in "read", "written", "settled":
            go_on(vm, f"{text} .*")
        go_on(vm, "regrown .*")
        check(vm, used, used)


@test
def boot_memory_is_huge_again_after_a_reset():
    need_collapse()
    with plug_vm("always") as vm:
        step(vm, "start")
        go_on(vm, f"plugged {SIZE}")
        vm.qmp.command("system_reset")
        step(vm, "start")
        check(vm, 0, 0)
        assert vm.resident("ebb-boot") == BOOT
        assert vm.mapped_huge("ebb-boot") == BOOT
        go_on(vm, f"plugged {SIZE}")
        check(vm, SIZE, SIZE)


@test
def a_vm_at_rest_is_left_alone():
    need_collapse()
    with plug_vm("auto") as vm:
        step(vm, "start")
        go_on(vm, f"plugged {SIZE}")
        go_on(vm, f"written {SIZE}")
        becomes_huge(vm, SIZE)
        idles(vm)
        # Later it looks seldom, and finds nothing: it waits once each time, and for a guard's tick.
        start, before = time.monotonic(), loop_state(vm)[1]
        time.sleep(3)
        waits, took = loop_state(vm)[1] - before, time.monotonic() - start
        print(f"# the loop waited {waits} times in {took:.1f} s", flush=True)
        assert waits <= 10 * took, (waits, took)


main()
