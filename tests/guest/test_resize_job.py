# SPDX-License-Identifier: Apache-2.0
"""Resize jobs against a guest that follows its target, holds on to memory, or does not listen."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import MiB, Vm, guest, wait_until  # pylint: disable=wrong-import-position

RUNNING, DONE, SHORT, CANCELLED = "running", "done", "short", "cancelled"


def regrow(*elastic, params="", more=()):
    arguments = [word for e in elastic or ["512M"] for word in ("-e", e)]
    return Vm("-k", guest("regrow"), "-m", "64M", "--debug-exit", "-p", params, *arguments, *more)


def size_of(vm, name="mem0"):
    """What the device says is plugged."""
    return vm.qmp.command("qom-get", path=f"/machine/peripheral/{name}", property="size")


def ended(vm, device="mem0"):
    """The job that is under way, at its end."""
    return vm.job_wait(vm.job(device))


def near(is_bytes, should_bytes):
    assert abs(is_bytes - should_bytes) <= 2 * MiB, (is_bytes >> 10, should_bytes >> 10)


@test
def a_guest_grows_and_shrinks_and_the_host_sees_it():
    with regrow() as vm:
        vm.expect("^size 0")
        number = 0
        for target in (48, 16, 72, 0, 2):
            job = vm.resize_wait(target * MiB)
            number += 1
            assert (job["state"], job["size"], job["target"], job["id"]) == \
                (DONE, target * MiB, target * MiB, number), job
            assert "reason" not in job and "left-ms" not in job, job
            vm.expect(rf"^size {target * MiB}\r")
            near(vm.resident(), target * MiB)
        vm.send("q")
        vm.expect("^PASS ")
        assert vm.wait() == 0


@test
def the_whole_guest_is_divided_over_its_devices_the_first_one_first():
    with regrow("256M", "256M,block=8M", params="device=0 touch=0") as vm:
        vm.expect("^size 0")
        jobs = vm.qmp.command("__org.ebb_resize", size=(64 + 256 + 64) * MiB)
        assert [(j["device"], j["target"]) for j in jobs] == \
            [("mem0", 256 * MiB), ("mem1", 64 * MiB)], jobs
        assert ended(vm)["state"] == DONE
        # Nobody drives the second one.
        job = vm.job("mem1")
        assert (job["state"], job["reason"], job["size"]) == (RUNNING, "no-driver", 0), job


@test
def a_target_that_is_reached_already_is_done_at_once():
    with regrow() as vm:
        vm.expect("^size 0")
        assert vm.resize(0)["state"] == DONE


@test
def a_guest_that_holds_memory_ends_the_job_short_at_its_deadline():
    with regrow(params="hold=32M") as vm:
        vm.expect("^size 0")
        assert vm.resize_wait(64 * MiB)["state"] == DONE
        # How far a guest gets in that time is up to the machine: a slow one has more.
        for seconds in (3, 10, 40, 160):
            job = vm.resize(0, timeout=seconds)
            assert job["state"] == RUNNING and 0 < job["left-ms"] <= 1000 * seconds, job
            job = vm.job_wait(job, 2 * seconds)
            assert job["state"] == SHORT and job["elapsed-ms"] >= 1000 * seconds, job
            if (job["size"], job["reason"]) == (32 * MiB, "stopped"):
                break
            print(f"# {seconds} s: {job}", flush=True)
            assert vm.resize_wait(64 * MiB)["state"] == DONE
        assert (job["size"], job["reason"]) == (32 * MiB, "stopped"), job
        assert "32 MiB short" in job["explanation"], job
        vm.expect(rf"^hold {32 * MiB}\r")
        near(vm.resident(), 32 * MiB)
        # The target stays asked for; the next job finds the guest willing.
        vm.send("r")
        vm.expect(r"^size 0\r")
        assert vm.resize_wait(0)["state"] == DONE
        near(vm.resident(), 0)


@test
def a_job_that_is_short_raises_its_interrupt_again_and_again_but_ever_slower():
    with regrow(params="hold=32M") as vm:
        vm.expect("^size 0")
        assert vm.resize_wait(32 * MiB)["state"] == DONE
        start = time.monotonic()
        vm.resize(0)
        vm.expect(rf"^hold {32 * MiB}\r\n")
        vm.send("i")
        seen = int(vm.expect(r"^interrupts (\d+)\r\n").group(1))
        # 0.25, 0.75 and 1.75 s after the start, beside the one at the start; on a slow machine
        # some of them are over by now.
        want = max(4, vm.job()["interrupts"] + 2)
        wait_until(lambda: vm.job()["interrupts"] >= want, 0, "interrupts")
        job, took = vm.job(), time.monotonic() - start
        assert took >= 1.75, took
        assert job["interrupts"] <= 1 + took / 0.25, (job, took)
        assert (job["state"], job["reason"]) == (RUNNING, "silent"), job

        # What is counted reaches the guest.
        def more():
            vm.send("i")
            return int(vm.expect(r"^interrupts (\d+)\r\n").group(1)) - seen
        new = wait_until(lambda: (n := more()) >= 2 and n, 0, "interrupts in the guest")
        assert new <= vm.job()["interrupts"], (new, vm.job())
        vm.send("r")
        assert ended(vm)["state"] == DONE
        # No job, no interrupt.
        raised = vm.job()["interrupts"]
        time.sleep(0.6)
        assert vm.job()["interrupts"] == raised


@test
def a_cancelled_job_leaves_the_target_where_the_guest_is():
    with regrow(params="hold=32M") as vm:
        vm.expect("^size 0")
        assert vm.resize_wait(64 * MiB)["state"] == DONE
        vm.resize(0)
        vm.expect(rf"^hold {32 * MiB}\r")
        job = vm.qmp.command("__org.ebb_cancel-resize", device="mem0")[0]
        assert (job["state"], job["size"]) == (CANCELLED, 32 * MiB), job
        assert vm.qmp.command("qom-get", path="mem0", property="requested-size") == 32 * MiB
        vm.expect(rf"^size {32 * MiB}\r")
        vm.send("r")
        time.sleep(0.3)
        assert size_of(vm) == 32 * MiB
        reply = vm.qmp.raw("__org.ebb_cancel-resize")
        assert "no resize is running" in reply["error"]["desc"], reply


@test
def a_new_job_replaces_the_running_one():
    with regrow(params="hold=32M") as vm:
        vm.expect("^size 0")
        assert vm.resize_wait(32 * MiB)["state"] == DONE
        first = vm.resize(0)
        job = vm.resize_wait(64 * MiB)
        assert (job["state"], job["id"]) == (DONE, first["id"] + 1), (first, job)
        states = []
        while not states or (states[-1]["id"], states[-1]["state"]) != (job["id"], DONE):
            states.append(vm.qmp.event("__org.ebb_RESIZE")["data"])
        seen = [(s["id"] - first["id"], s["state"]) for s in states if s["id"] >= first["id"]]
        assert seen == [(0, RUNNING), (0, CANCELLED), (1, RUNNING), (1, DONE)], seen


@test
def without_a_driver_the_job_says_so_and_ends_short():
    with Vm("-k", guest("console"), "-m", "64M", "-e", "256M") as vm:
        vm.expect("^ready\r\n")
        job = vm.resize(64 * MiB, timeout=0.5)
        assert (job["state"], job["reason"], job["interrupts"]) == (RUNNING, "no-driver", 0), job
        assert "no virtio-mem driver is ready" in job["explanation"], job
        job = ended(vm)
        assert (job["state"], job["reason"], job["size"]) == (SHORT, "no-driver", 0), job
        assert vm.resident() == 0


@test
def a_target_set_before_the_driver_is_there_is_met_when_it_comes():
    with regrow(more=["--paused"]) as vm:
        assert vm.resize(64 * MiB)["reason"] == "no-driver"
        vm.qmp.command("cont")
        assert ended(vm)["state"] == DONE
        assert size_of(vm) == 64 * MiB


@test
def what_was_requested_at_start_is_plugged_without_a_job():
    with regrow("512M,requested=48M") as vm:
        vm.expect(rf"^size {48 * MiB}\r")
        assert vm.job()["state"] == "none"
        near(vm.resident(), 48 * MiB)


@test
def a_paused_guest_makes_no_progress_and_goes_on_later():
    with regrow() as vm:
        vm.expect("^size 0")
        vm.qmp.command("stop")
        vm.resize(64 * MiB)
        time.sleep(0.5)
        job = vm.job()
        assert (job["state"], job["size"]) == (RUNNING, 0), job
        assert vm.resident() == 0
        vm.qmp.command("cont")
        assert ended(vm)["state"] == DONE
        vm.expect(rf"^size {64 * MiB}\r")
        near(vm.resident(), 64 * MiB)


@test
def impossible_targets_are_refused_and_change_nothing():
    with regrow("512M,block=4M") as vm:
        vm.expect("^size 0")
        assert vm.resize_wait(32 * MiB)["state"] == DONE
        for command, arguments, words in (
                ("__org.ebb_resize", {"size": 513 * MiB, "device": "mem0"}, "multiple"),
                ("__org.ebb_resize", {"size": 516 * MiB, "device": "mem0"}, "exceeds"),
                ("__org.ebb_resize", {"size": 2 * MiB, "device": "mem0"}, "multiple"),
                ("__org.ebb_resize", {"size": 4 * MiB, "device": "mem7"}, "not found"),
                ("__org.ebb_resize", {"size": 1024 * MiB}, "above the maximum"),
                ("__org.ebb_resize", {"size": 32 * MiB}, "below the boot memory"),
                ("__org.ebb_resize", {"size": -1}, "size"),
                ("qom-set", {"path": "mem0", "property": "requested-size",
                             "value": 516 * MiB}, "exceeds"),
                ("qom-set", {"path": "mem0", "property": "requested-size",
                             "value": 2 * MiB + 1}, "multiple"),
                ("qom-set", {"path": "mem0", "property": "requested-size",
                             "value": -4 * MiB}, "value"),
                ("qom-set", {"path": "mem0", "property": "requested-size",
                             "value": "4M"}, "value"),
                ("qom-set", {"path": "mem0", "property": "size", "value": 0}, "not found")):
            reply = vm.qmp.raw(command, **arguments)
            assert "error" in reply and words in reply["error"]["desc"], (command, arguments,
                                                                         reply)
        assert vm.qmp.command("qom-get", path="mem0", property="requested-size") == 32 * MiB
        assert size_of(vm) == 32 * MiB and vm.job()["state"] == DONE


main()
