# SPDX-License-Identifier: Apache-2.0
"""Resizing a stock kernel: content, host memory, reboot, a shrink that can't finish."""
import os
import sys

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
    with huge_pages(), LinuxVm("-m", "512M", "-c", 2, "--elastic", "2G") as vm:
        vm.ready()
        boot_total = vm.meminfo("MemTotal")

        def make_file():
            vm.make_file("/dev/shm/file", 4)
            return vm.sh("md5sum < /dev/shm/file", 120)

        total = make_file()
        for number in range(1, ROUNDS + 1):
            for size in (512 * MiB, 256 * MiB, GiB, 0):
                resize(vm, size, boot_total)
                assert vm.sh("md5sum < /dev/shm/file", 120) == total, f"round {number}, {size}"
                if size == GiB:
                    # In elastic memory, which is used first: the next shrink moves it.
                    vm.sh("rm /dev/shm/file")
                    total = make_file()
                if number == REBOOT_IN_ROUND and size == 256 * MiB:
                    vm.send("reboot -f\n")
                    vm.ready()
                    wait_until(lambda: vm.job()["size"] == 256 * MiB or vm.pump(0) is None, 60,
                               "regrowing after a reboot")
                    check_host(vm, 256 * MiB)
                    check_total(vm, 256 * MiB, boot_total)
                    total = make_file()
            print(f"# round {number}: elastic resident {vm.resident('ebb-mem0')} bytes")
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()
        assert vm.output.count(b"ebb-guest: ready") == 2


@test
def a_shrink_that_cannot_finish_says_why_and_the_next_one_completes_soon():
    with huge_pages(), LinuxVm("-m", "512M", "-c", 2, "--elastic", "640M") as vm:
        vm.ready()
        boot_total = vm.meminfo("MemTotal")
        vm.resize_wait(640 * MiB)
        check_total(vm, 640 * MiB, boot_total)
        # A guest that is made too small kills processes as soon as one of them needs a page. So
        # nothing runs in it: dd fills a buffer of anonymous memory, then waits for a reader, who
        # waits for a word. Movable memory leaves the kernel a reserve in the boot memory's zone.
        # When dd ends, its memory is free only after a while; the kernel may kill somebody for want
        # of a page until then. Let that be one of those who wait for nothing, not our shell.
        vm.sh("echo '256 4 4 0' > /proc/sys/vm/lowmem_reserve_ratio; mkfifo /tmp/go /tmp/never")
        vm.sh("for i in 1 2 3; do (setsid sh -c 'echo 1000 > /proc/self/oom_score_adj; "
              "read word < /tmp/never' </dev/null >/dev/null 2>&1 &); done")
        vm.sh("echo -999 > /proc/$$/oom_score_adj")
        vm.sh("(setsid sh -c 'echo 0 > /proc/self/oom_score_adj; "
              "dd if=/dev/zero bs=700M count=1 | read word < /tmp/go' </dev/null >/dev/null 2>&1 &)")
        wait_until(lambda: vm.meminfo("AnonPages") >= 680 * MiB, 120, "anonymous memory in use")
        job = vm.resize_wait(0, 60, timeout=8)
        assert job["state"] == "short", job
        assert job["reason"] and job["explanation"], job
        assert job["elapsed-ms"] >= 8000, job
        assert job["size"] >= 128 * MiB, job
        print(f"# short: {job['reason']}: {job['explanation']}")

        # Linux tries again after 50 to 300 s by itself; interrupts ask it to do so sooner.
        vm.resize(0)
        stuck = wait_until(lambda: vm.job()["interrupts"] >= 3 and vm.job(), 60, "interrupts")
        assert stuck["state"] == "running" and stuck["size"] >= 128 * MiB, stuck
        vm.sh("echo go > /tmp/go")  # built in: it takes no memory
        wait_until(lambda: vm.job()["state"] == "done", 60, "the rest unplugged")
        print(f"# {stuck['interrupts']} interrupts while it was stuck, "
              f"{vm.job()['interrupts']} until the end")
        check_host(vm, 0)
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()


if __name__ == "__main__":
    main()
