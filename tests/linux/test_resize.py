# SPDX-License-Identifier: Apache-2.0
"""Resizing a stock kernel: content, host memory, reboot, a shrink that can't finish."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from linux import LinuxVm, huge_pages  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from vm import GiB, MiB, wait_until  # pylint: disable=wrong-import-position

ROUNDS = 5
REBOOT_IN_ROUND = 3


def check_host(vm, plugged):
    """The host never holds more than what is plugged, whatever our own books say."""
    resident = vm.resident("ebb-mem0")
    assert resident <= plugged + 2 * MiB, f"{resident} bytes behind {plugged} plugged ones"
    device = vm.qmp.command("query-memory-devices")[0]["data"]
    assert device["size"] == plugged, device


def check_total(vm, plugged, boot_total):
    """Onlining follows plugging; the memory map of plugged blocks costs boot memory nothing that
    MemTotal counts."""
    wait_until(lambda: vm.meminfo("MemTotal") == boot_total + plugged, 30,
               f"guest MemTotal with {plugged >> 20} MiB plugged")


def resize(vm, size, boot_total):
    job = vm.resize_wait(size, 120)
    assert job["state"] == "done", job
    check_host(vm, size)
    check_total(vm, size, boot_total)


@test
def five_rounds_keep_content_and_leave_no_memory_behind():
    with huge_pages(), LinuxVm("-m", "512M", "-c", 2, "--elastic", "4G") as vm:
        vm.ready()
        boot_total = vm.meminfo("MemTotal")

        def make_file():
            vm.sh("head -c 67108864 /dev/urandom > /dev/shm/file", 120)
            return vm.sh("md5sum < /dev/shm/file", 120)

        total = make_file()
        for number in range(1, ROUNDS + 1):
            for size in (1 * GiB, 512 * MiB, 2 * GiB, 0):
                resize(vm, size, boot_total)
                assert vm.sh("md5sum < /dev/shm/file", 120) == total, f"round {number}, {size}"
                if number == REBOOT_IN_ROUND and size == 512 * MiB:
                    vm.send("reboot -f\n")
                    vm.ready()
                    wait_until(lambda: vm.job()["size"] == 512 * MiB or vm.pump(0) is None, 60,
                               "regrowing after a reboot")
                    check_host(vm, 512 * MiB)
                    check_total(vm, 512 * MiB, boot_total)
                    total = make_file()
            print(f"# round {number}: elastic resident {vm.resident('ebb-mem0')} bytes")
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()
        assert vm.output.count(b"ebb-guest: ready") == 2


@test
def a_shrink_that_cannot_finish_says_why_and_the_next_one_completes_soon():
    with huge_pages(), LinuxVm("-m", "512M", "-c", 2, "--elastic", "1G") as vm:
        vm.ready()
        vm.resize_wait(GiB)
        start = time.monotonic()
        job = vm.resize_wait(0, 60)
        unhindered = time.monotonic() - start
        assert job["state"] == "done", job

        vm.resize_wait(GiB)
        boot_total = vm.meminfo("MemTotal")
        wait_until(lambda: vm.meminfo("MemTotal") >= boot_total, 30, "onlining")
        # A guest that is made too small kills processes as soon as one of them needs a page. So
        # nothing runs in it: dd fills a buffer of anonymous memory, then waits for a reader, who
        # waits for a word. Movable memory leaves the kernel a reserve in the boot memory's zone.
        vm.sh("echo '256 4 4 0' > /proc/sys/vm/lowmem_reserve_ratio; mkfifo /tmp/go")
        vm.sh("(setsid sh -c 'dd if=/dev/zero bs=900M count=1 | read word < /tmp/go' "
              "</dev/null >/dev/null 2>&1 &)")
        wait_until(lambda: vm.meminfo("AnonPages") >= 880 * MiB, 120, "anonymous memory in use")
        start = time.monotonic()
        job = vm.resize_wait(0, 60, timeout=8)
        took = time.monotonic() - start
        assert job["state"] == "short", job
        assert job["reason"] and job["explanation"], job
        assert 7.5 <= took <= 10, f"the deadline was 8 s, the job ended after {took:.1f} s"
        assert job["size"] >= 128 * MiB, job
        print(f"# short: {job['reason']}: {job['explanation']}")

        vm.sh("echo go > /tmp/go")  # built in: it takes no memory
        wait_until(lambda: vm.meminfo("AnonPages") < 64 * MiB, 60, "anonymous memory free again")
        start = time.monotonic()
        job = vm.resize_wait(0, 60)
        took = time.monotonic() - start
        print(f"# unhindered {unhindered:.2f} s, after the guest freed it {took:.2f} s")
        assert job["state"] == "done", job
        assert took <= 5 + unhindered + 1, f"{took:.1f} s, unhindered {unhindered:.1f} s"
        check_host(vm, 0)
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()


if __name__ == "__main__":
    main()
