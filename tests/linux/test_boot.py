# SPDX-License-Identifier: Apache-2.0
"""Booting stock kernels: formats, processors, devices, power button, reboot."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from linux import BZIMAGE, LinuxVm, huge_pages  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from vm import MiB, wait_until  # pylint: disable=wrong-import-position


@test
def four_cpus_come_up_and_each_runs():
    with LinuxVm("-m", "512M", "-c", 4) as vm:
        vm.ready()
        assert vm.sh("nproc") == "4"
        assert vm.sh("cat /sys/devices/system/cpu/online") == "0-3"
        for cpu in range(4):
            assert vm.sh(f"taskset {1 << cpu:x} cut -d' ' -f39 /proc/self/stat") == str(cpu)
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()


@test
def a_bzimage_boots_with_clock_interrupts_and_nothing_missing():
    with LinuxVm("-m", "512M", "--elastic", "512M", kernel=BZIMAGE) as vm:
        vm.ready()
        assert vm.sh("cat /sys/devices/system/clocksource/clocksource0/current_clocksource") \
            == "kvm-clock"
        interrupts = vm.sh("cat /proc/interrupts")
        for device in ("ttyS0", "ACPI:Ged", "virtio0"):
            assert device in interrupts, interrupts
        assert "5-edge" in interrupts and "8-edge" in interrupts, interrupts
        bad = vm.sh("dmesg | grep -iE 'ACPI.*(error|exception)|BUG:|WARNING:|Call Trace'",
                    check=False)
        assert not bad, bad
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()


@test
def the_power_button_and_sigterm_power_the_guest_off():
    for press in (lambda vm: vm.qmp.command("system_powerdown"),
                  lambda vm: vm.signal(signal.SIGTERM)):
        with LinuxVm("-m", "512M") as vm:
            vm.ready()
            vm.sh("true")  # acpid is up by then
            press(vm)
            assert vm.wait(60) == 0, vm.tail()
            assert b"Power down" in vm.output, vm.tail()


@test
def reboot_asks_once_and_the_second_kernel_comes_up():
    with LinuxVm("-m", "512M", "-c", 2) as vm:
        vm.ready()
        vm.qmp.command("query-status")
        vm.send("reboot -f\n")
        vm.ready()
        event = vm.qmp.event("RESET")
        assert event["data"] == {"guest": True, "reason": "guest-reset"}, event
        assert vm.qmp.command("__org.ebb_stat")["boots"] == 2
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()


@test
def random_numbers_come_from_the_host_and_a_panic_ends_with_34():
    with LinuxVm("-m", "512M", "--rng=64K") as vm:
        vm.ready()
        assert vm.sh("cat /sys/class/misc/hw_random/rng_current") == "virtio_rng.0"
        sums = {vm.sh("dd if=/dev/hwrng bs=4096 count=1 2>/dev/null | md5sum") for _ in range(3)}
        assert len(sums) == 3, sums
        start = time.monotonic()
        vm.sh("dd if=/dev/hwrng of=/tmp/random bs=4096 count=48", 120)
        took = time.monotonic() - start
        # 64 KiB at once at most, the rest at the rate.
        assert took >= 1.9, took
        # So many random bytes are not to be compressed.
        assert int(vm.sh("gzip -c /tmp/random | wc -c")) > 192 << 10
        vm.qmp.command("query-status")
        vm.send("echo c > /proc/sysrq-trigger\n")
        assert vm.qmp.event("GUEST_PANICKED")["data"] == {"action": "poweroff"}
        assert vm.wait(60) == 34, vm.tail()
        assert b"Kernel panic - not syncing: sysrq triggered crash" in vm.errors, vm.tail()


@test
def clocks_are_right_after_a_pause_and_nobody_is_taken_for_stuck():
    # Lock-ups are reported after 4 s, stalls of RCU after 5.
    with LinuxVm("-m", "512M", params="watchdog_thresh=2 rcupdate.rcu_cpu_stall_timeout=5") as vm:
        vm.ready()

        def behind():
            """The guest's time of day and its time since boot, how far behind the host's, to a
            second: a busy machine may have to look more than once."""
            while True:
                day, boot = time.time(), time.monotonic()
                words = vm.sh("adjtimex | grep time.tv_; cat /proc/uptime").split()
                if time.monotonic() - boot < 1:
                    return day - float(f"{words[1]}.{int(words[3]):06}"), boot - float(words[4])
        before = behind()
        vm.qmp.command("stop")
        time.sleep(8)
        vm.qmp.command("cont")
        after = behind()
        print(f"# the guest's clocks were {before} s behind, then {after}")
        # One that had stopped would be 8 s further behind.
        assert all(abs(a - b) < 3 for a, b in zip(after, before)), (before, after)
        vm.sh("sleep 3")  # the watchdog has looked
        bad = vm.sh("dmesg | grep -E 'soft lockup|self-detected stall|Call Trace'", check=False)
        assert not bad, bad
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()


@test
def two_elastic_devices_are_resized_apart_and_together():
    with huge_pages(), LinuxVm("-m", "512M", "--elastic", "1G,requested=256M",
                               "--elastic", "2G,block=4M,id=more") as vm:
        vm.ready()
        wait_until(lambda: vm.job("mem0")["size"] == 256 * MiB, 60, "mem0 at its first target")
        assert vm.resize_wait(512 * MiB, device="more")["state"] == "done"
        assert vm.resize_wait(0, device="mem0")["state"] == "done"
        assert vm.resident("ebb-mem0") <= 2 * MiB
        vm.qmp.command("__org.ebb_resize", size=512 * MiB)  # the whole guest: boot memory alone

        def all_done():
            vm.pump(0)
            jobs = vm.qmp.command("__org.ebb_query-resize")
            return all(job["state"] == "done" for job in jobs)
        wait_until(all_done, 60, "both devices empty")
        assert vm.resident("ebb-more") <= 2 * MiB
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()


if __name__ == "__main__":
    main()
