# SPDX-License-Identifier: Apache-2.0
"""Pause, reset, power and events, seen from a control connection while a guest runs."""
import json
import os
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import MiB, Qmp, Vm, guest, wait_until  # pylint: disable=wrong-import-position


def status(vm):
    return vm.qmp.command("query-status")["status"]


def stat(vm):
    return vm.qmp.command("__org.ebb_stat")


def vcpu_ticks(vm):
    """CPU time of the vCPU threads, as the host counts it."""
    total = 0
    for cpu in vm.qmp.command("query-cpus-fast"):
        with open(f"/proc/{vm.pid}/task/{cpu['thread-id']}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total


def console(*arguments, params=""):
    return Vm("-k", guest("console"), "-m", "64M", "--debug-exit", "-p", params, *arguments)


def reboot(*arguments):
    return Vm("-k", guest("reboot"), "-m", "64M", "--debug-exit", "-p", "wait=1", *arguments)


# --- pause

@test
def a_paused_vm_does_nothing_and_still_answers():
    with console("-c", 4) as vm:
        vm.expect("^ready\r\n")
        vm.qmp.command("stop")
        assert vm.qmp.event("STOP")["data"] == {}
        assert vm.qmp.command("query-status") == {"running": False, "singlestep": False,
                                                  "status": "paused"}
        vm.send("a")
        exits, ticks = stat(vm)["exits"], vcpu_ticks(vm)
        time.sleep(0.5)
        assert stat(vm)["exits"] == exits and vcpu_ticks(vm) == ticks
        assert not vm.pump(0)
        vm.qmp.command("cont")
        vm.qmp.event("RESUME")
        assert status(vm) == "running"
        vm.expect("^got 61")
        assert stat(vm)["exits"] > exits


@test
def pause_and_resume_a_hundred_times():
    with console("-c", 2) as vm:
        vm.expect("^ready\r\n")
        # In one write: nothing moves between the first two answers, not even once.
        request = "".join(json.dumps({"execute": name}) for name in
                          ("stop", "__org.ebb_stat", "query-status", "__org.ebb_stat", "cont"))
        for _ in range(100):
            vm.qmp.socket.sendall(request.encode())
            replies = []
            while len(replies) < 5:
                message = vm.qmp.receive()
                if "event" not in message:
                    replies.append(message["return"])
            assert replies[1]["exits"] == replies[3]["exits"], replies
        vm.send("z")
        vm.expect("^got 7a")


@test
def pausing_twice_and_resuming_twice_is_pausing_and_resuming():
    with console() as vm:
        vm.expect("^ready\r\n")
        for command in ("stop", "stop", "cont", "cont"):
            vm.qmp.command(command)
        vm.qmp.event("STOP")
        vm.qmp.event("RESUME")
        vm.qmp.command("query-status")
        assert not vm.qmp.events, vm.qmp.events


@test
def a_vm_started_paused_runs_nothing_until_it_is_told():
    with console("--paused") as vm:
        assert status(vm) == "prelaunch"
        assert stat(vm)["exits"] == 0
        assert not vm.pump(0.3)
        vm.qmp.command("cont")
        vm.expect("^ready\r\n")


# --- reset

@test
def a_reset_takes_all_elastic_memory_at_once_and_the_guest_regrows():
    with reboot("-e", "512M,requested=32M") as vm:
        vm.expect(rf"^boot {32 * MiB}\r\n")
        assert abs(vm.resident() - 32 * MiB) <= 2 * MiB
        vm.qmp.command("stop")
        vm.qmp.command("system_reset")
        event = vm.qmp.event("RESET")
        assert event["data"] == {"guest": False, "reason": "host-qmp-system-reset"}, event
        assert vm.resident() <= 2 * MiB
        device = vm.qmp.command("query-memory-devices")[0]["data"]
        assert (device["size"], device["requested-size"]) == (0, 32 * MiB), device
        # Boot memory is new too: all there is is the kernel and what goes with it.
        assert vm.resident("ebb-boot") < 8 * MiB, vm.resident("ebb-boot")
        assert status(vm) == "paused" and stat(vm)["boots"] == 2
        vm.qmp.command("cont")
        vm.expect(rf"^boot {32 * MiB}\r\n")
        assert abs(vm.resident() - 32 * MiB) <= 2 * MiB


@test
def a_guest_that_resets_itself_boots_again_in_the_same_process():
    with reboot("-e", "512M,requested=16M", "-c", 2) as vm:
        for boots in (1, 2, 3):
            vm.expect(rf"^boot {16 * MiB}\r")
            assert stat(vm)["boots"] == boots and status(vm) == "running"
            if boots == 3:
                break
            vm.send("r")
            event = vm.qmp.event("RESET")
            assert event["data"] == {"guest": True, "reason": "guest-reset"}, event
        # The target that counts is the latest.
        vm.qmp.command("qom-set", path="mem0", property="requested-size", value=0)
        vm.send("r")
        vm.expect(r"^boot 0\r")
        assert vm.resident() <= 2 * MiB
        vm.send("q")
        vm.expect("^PASS ")
        assert vm.wait() == 0


@test
def a_reset_in_the_middle_of_a_resize_does_not_end_the_job():
    with Vm("-k", guest("regrow"), "-m", "64M", "-e", "1G", "-p", "hold=64M") as vm:
        vm.expect("^size 0")
        assert vm.resize_wait(96 * MiB)["state"] == "done"
        number = vm.resize(32 * MiB)["id"]
        vm.expect(rf"^hold {64 * MiB}\r")
        vm.qmp.command("system_reset")
        # The new guest comes from 0 and so reaches what the old one would not give.
        vm.expect(rf"size {32 * MiB}\r")
        job = vm.job()
        assert (job["id"], job["state"], job["size"]) == (number, "done", 32 * MiB), job
        assert abs(vm.resident() - 32 * MiB) <= 2 * MiB


@test
def twenty_resets_while_memory_is_plugged():
    with Vm("-k", guest("regrow"), "-m", "64M", "-e", "512M", "-c", 2) as vm:
        vm.expect("^size 0")
        for number in range(20):
            vm.resize((16 + 2 * number) * MiB)
            time.sleep(0.01 * (number % 4))
            vm.qmp.command("system_reset")
        assert stat(vm)["boots"] == 21
        last = (16 + 2 * 19) * MiB
        # Where a reset cuts a line, no new one begins.
        vm.expect(rf"size {last}\r")
        assert vm.job()["state"] == "done" and abs(vm.resident() - last) <= 2 * MiB
        # Nothing of the earlier VMs stays: a descriptor per vCPU, VM and eventfd, and no more.
        assert len(os.listdir(f"/proc/{vm.pid}/fd")) < 40, os.listdir(f"/proc/{vm.pid}/fd")


@test
def a_reset_that_finds_no_kernel_any_more_ends_the_vm():
    with open(guest("console"), "rb") as f:
        kernel = f.read()
    handle, path = tempfile.mkstemp(prefix="gone-", suffix=".elf")
    with os.fdopen(handle, "wb") as f:
        f.write(kernel)
    try:
        vm = Vm("-k", path, "-m", "64M")
    except BaseException:
        os.unlink(path)
        raise
    with vm:
        try:
            vm.expect("^ready\r\n")
        finally:
            os.unlink(path)
        # Both in one write: the second one is served when no vCPU exists any more.
        request = "".join(json.dumps({"execute": name}) for name in
                          ("system_reset", "query-cpus-fast", "__org.ebb_stat", "stop", "cont"))
        vm.qmp.socket.sendall(request.encode())
        assert vm.wait() == 33, vm.tail()
        assert b"gone-" in vm.errors and b"reset failed" in vm.errors, vm.errors


# --- power

@test
def the_power_button_reaches_the_guest():
    with console() as vm:
        vm.expect("^ready\r\n")
        vm.qmp.command("system_powerdown")
        vm.qmp.event("POWERDOWN")
        vm.expect("^power button")
        event = vm.qmp.event("SHUTDOWN")
        assert event["data"] == {"guest": True, "reason": "guest-shutdown"}, event
        assert vm.wait() == 0


@test
def a_button_pressed_before_a_reset_is_forgotten():
    with console("--paused") as vm:
        vm.qmp.command("system_powerdown")
        vm.qmp.command("system_reset")
        vm.qmp.command("cont")
        vm.expect("^ready\r\n")
        vm.send("a")
        vm.expect("^got 61")


@test
def quit_ends_a_vm_at_once_also_a_paused_one():
    for pause in (False, True):
        with console() as vm:
            vm.expect("^ready\r\n")
            if pause:
                vm.qmp.command("stop")
            vm.qmp.command("quit")
            event = vm.qmp.event("SHUTDOWN")
            assert event["data"] == {"guest": False, "reason": "host-qmp-quit"}, event
            assert vm.wait() == 0


@test
def the_end_by_a_signal_is_told():
    with console(params="button=0") as vm:
        vm.expect("^ready\r\n")
        vm.qmp.command("query-status")
        vm.signal(signal.SIGTERM)
        vm.qmp.event("POWERDOWN")
        vm.signal(signal.SIGTERM)
        event = vm.qmp.event("SHUTDOWN")
        assert event["data"] == {"guest": False, "reason": "host-signal"}, event
        assert vm.wait() == 128 + signal.SIGTERM


# --- events

@test
def the_size_is_told_at_most_once_a_second_and_the_last_word_is_right():
    with Vm("-k", guest("regrow"), "-m", "64M", "-e", "512M", "-p", "touch=0") as vm:
        vm.expect("^size 0")
        vm.qmp.command("query-status")
        start, changes, events = time.monotonic(), 0, []
        # To the third event, and to a change after it, of which nothing has been told.
        while len(events) < 3:
            assert vm.resize_wait((2 + changes % 2) * 64 * MiB)["state"] == "done"
            changes += 1
            events = [e for e in vm.qmp.events if e["event"] == "MEMORY_DEVICE_SIZE_CHANGE"]
        assert vm.resize_wait(52 * MiB)["state"] == "done"  # no size on the way to another
        last, events = vm.job()["size"], []
        while not events or events[-1]["data"]["size"] != last:
            events.append(vm.qmp.event("MEMORY_DEVICE_SIZE_CHANGE"))
        took = time.monotonic() - start
        # One at once and one for each second that has passed, whatever the time that they carry.
        assert 3 <= len(events) <= took + 1, (len(events), took)
        print(f"# {changes + 1} changes, {len(events)} events, {took:.1f} s")
        assert events[-1]["data"] == {"id": "mem0", "size": last,
                                      "qom-path": "/machine/peripheral/mem0"}, events[-1]


@test
def ten_thousand_targets_in_a_row():
    with Vm("-k", guest("regrow"), "-m", "64M", "-e", "512M", "-p", "touch=0") as vm:
        vm.expect("^size 0")
        other = Qmp(vm.qmp_path)
        start = time.monotonic()
        refused = 0
        for batch in range(100):
            targets = [(batch * 7 + i * 2) % 300 * MiB + i // 99 for i in range(100)]
            requests = [{"execute": "qom-set", "arguments": {
                "path": "mem0", "property": "requested-size", "value": t}} for t in targets]
            vm.qmp.socket.sendall("".join(map(json.dumps, requests)).encode())
            for target in targets:
                reply = vm.qmp.receive()
                while "event" in reply:
                    vm.qmp.events.append(reply)
                    reply = vm.qmp.receive()
                assert ("error" in reply) == (target % (2 * MiB) != 0), (target, reply)
                refused += "error" in reply
            vm.pump(0)
        assert refused >= 100
        # The others are served meanwhile, and the guest is where the last word sends it.
        assert other.command("query-status")["status"] == "running"
        job = vm.resize_wait(128 * MiB)
        assert job["state"] == "done", job
        events = [e for e in vm.qmp.events if e["event"] == "MEMORY_DEVICE_SIZE_CHANGE"]
        took = time.monotonic() - start
        assert len(events) <= took + 1, (len(events), took)
        other.close()


@test
def targets_that_change_before_a_driver_is_there_cost_nothing():
    with console("-e", "512M") as vm:
        vm.expect("^ready\r\n")
        for number in range(1000):
            vm.qmp.command("qom-set", path="mem0", property="requested-size",
                           value=number % 256 * 2 * MiB)
        vm.qmp.command("query-status")
        assert not vm.qmp.events, vm.qmp.events
        assert vm.resident() == 0


main()
