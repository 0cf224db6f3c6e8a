# SPDX-License-Identifier: Apache-2.0
"""A guest that asks for memory (guests/asker), and guests that lie about it: what comes is measured
from the host, and so is what it costs the VMM."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from asker import BLOCK, BOOT, MAX, RATE, Asker  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from vm import MiB, idles, loop_state, wait_until  # pylint: disable=wrong-import-position

# Of agent/session.h.
LINES_PER_S, LINES_BURST = 20, 40

# --- who asks --------------------------------------------------------------------------------------

@test
def a_guest_asks_gets_uses_and_gives_back():
    with Asker("", rate=256 * MiB) as vm:
        vm.expect(r"^ready\r\n")
        assert vm.agent()["state"] == "gone"
        assert vm.open() == [64, 320, 64, 0]
        event = vm.qmp.event("__org.ebb_AGENT")["data"]
        assert event == {"state": "connected", "version": 1, "agent": "asker",
                         "can": ["status", "working-set"]}, event
        granted, size, why = vm.need()
        assert (granted, why) == (64, "granted") and size >= 128, (granted, size, why)
        assert vm.take() == size - 64
        assert vm.plugged() == (size - 64) * MiB
        wait_until(lambda: vm.resident() >= vm.plugged() // BLOCK * 4096, 10, "touched memory")
        low = vm.qmp.event("__org.ebb_GUEST_LOW")["data"]
        assert low["why"] == "low" and low["bytes"] == 64 * MiB == low["granted"], low
        vm.send("s")
        status = wait_until(lambda: [s for s in (vm.agent().get("status"),)
                                     if s["total"] == size * MiB], 10, "a status")[0]
        assert status["available"] == size * MiB and status["some-percent"] == 0, status
        # What it offers goes when it has been calm for a moment.
        vm.send("f")
        wait_until(lambda: vm.autosize()["size"] < size * MiB, 10, "a smaller size")
        assert vm.take() < size - 64
        assert vm.plugged() + BOOT == vm.autosize()["size"] < size * MiB
        vm.send("q")
        vm.expect("^PASS ")
        assert vm.wait() == 0


@test
def nothing_is_granted_beyond_max_ceiling_and_rate():
    with Asker("bytes=1024M more=32M", rate=256 * MiB) as vm:
        vm.expect(r"^ready\r\n")
        vm.open()
        granted, size, why = vm.need()
        assert size <= 320 and why in ("max", "rate"), (granted, size, why)
        vm.set(ceiling=MAX - 96 * MiB)
        assert vm.take() <= 320 - 96 - 64
        granted, size, why = vm.need()
        assert size <= 224 and why == "ceiling", (granted, size, why)
        vm.set(ceiling=2 * MAX, max=BOOT, min=BOOT)
        assert vm.take() == 0
        assert vm.need()[1:] == (64, "max")
        for wrong in ({"max": MAX + BLOCK}, {"min": BOOT - BLOCK}, {"min": MAX}):
            reply = vm.qmp.raw("__org.ebb_set-autosize", **wrong)
            assert reply["error"]["class"] == "GenericError", reply
        vm.set(min=BOOT + 64 * MiB, max=MAX, cache_age=7)
        assert vm.take() == 64, "min needs no asking"
        vm.send("c")
        assert vm.open() == [128, 320, 128, 7]


@test
def a_hand_on_the_size_suspends_until_on():
    with Asker("bytes=32M") as vm:
        vm.expect(r"^ready\r\n")
        vm.open()
        vm.resize(64 * MiB)
        state = vm.autosize()
        assert not state["enabled"] and "resize" in state["suspended-by"], state
        assert state["explanation"].startswith("suspended"), state
        assert state["size"] == BOOT + 64 * MiB, state
        assert vm.take() == 64
        assert vm.need() == (0, vm.autosize()["size"] // MiB, "suspended")
        assert vm.take() == 64
        vm.set(enabled=True)
        assert vm.autosize()["size"] == BOOT + 64 * MiB, "it goes on from there"
        granted, size, why = vm.need()
        assert why == "granted" and size >= 160, (granted, size, why)
        assert vm.take() == size - 64
        for command, arguments in (("balloon", {"value": BOOT // 2}),
                                   ("qom-set", {"path": "mem0", "property": "requested-size",
                                                "value": 0})):
            vm.set(enabled=True)
            assert vm.autosize()["enabled"]
            vm.qmp.command(command, **arguments)
            assert not vm.autosize()["enabled"], command


@test
def a_reset_forgets_what_was_said_and_keeps_what_was_granted():
    with Asker("bytes=64M") as vm:
        vm.expect(r"^ready\r\n")
        vm.open()
        size = vm.need()[1]
        assert vm.take() == size - 64
        vm.qmp.command("system_reset")
        vm.expect(r"^ready\r\n")
        wait_until(lambda: [e for e in vm.events("__org.ebb_AGENT") if e["state"] == "gone"], 10,
                   "an event")
        assert vm.agent()["state"] == "gone" and "status" not in vm.agent()
        assert vm.plugged() == 0 and vm.resident() == 0
        assert vm.open()[2] == size, "it is to have it again"
        assert vm.take() == size - 64


@test
def a_paused_guest_gets_nothing_and_is_not_late():
    with Asker("mode=greedy", rate=16 * MiB) as vm:
        vm.expect(r"^asks\r\n")
        wait_until(lambda: vm.plugged() > 16 * MiB, 20, "memory")
        vm.qmp.command("stop")
        before, lines = vm.plugged(), vm.agent()["lines"]
        level = vm.autosize()["level"]
        time.sleep(1)
        assert vm.plugged() == before and vm.agent()["lines"] == lines
        assert vm.autosize()["level"] == level, "the bucket does not fill meanwhile"
        vm.qmp.command("cont")
        wait_until(lambda: vm.plugged() > before, 20, "more memory")


# --- who lies --------------------------------------------------------------------------------------

def is_bounded(vm, lines=80):
    """So many lines more are taken as the bucket gives them, and neither they nor the guest's
    notifications make the loop run often: between two lines it waits. The bucket's clock is ours; a
    machine that is late gives it more time only."""
    asked = 0

    def taken():
        nonlocal asked
        asked += 1
        return vm.agent()["lines"]
    start, before, waits = time.monotonic(), taken(), loop_state(vm)[1]
    wait_until(lambda: taken() >= before + lines, 0, f"{lines} lines more")
    more, waits = taken() - before, loop_state(vm)[1] - waits
    took = time.monotonic() - start
    print(f"# {more} lines in {took:.1f} s and {asked} questions, for which the loop waited {waits} "
          "times", flush=True)
    assert more <= LINES_BURST + LINES_PER_S * took + 1, (more, took)
    assert waits <= 10 * (more + asked) + 100, (waits, more, asked)
    idles(vm, looks=1, pause=0.005)


def given(vm):
    """What the guest has, as the host sees it: one page of each block is written."""
    return vm.resident() // 4096 * BLOCK


@test
def who_needs_everything_gets_no_more_than_max_and_no_faster_than_the_rate():
    new = Asker("mode=greedy", "--huge=never")
    start = time.monotonic()  # it has not run yet
    with new as vm:
        vm.expect(r"^asks\r\n")

        def full():
            plugged, has = vm.plugged(), given(vm)
            # The bucket was full at the start, and has filled since then: by the clock that it goes by.
            may = RATE + RATE * (time.monotonic() - start)
            assert plugged <= may and has <= may, (plugged, has, may)
            return plugged + BOOT == MAX
        wait_until(full, 0, "all that there is")
        is_bounded(vm)
        assert vm.plugged() == given(vm) == MAX - BOOT, (vm.plugged(), given(vm))
        assert len(vm.events("__org.ebb_AGENT")) == 1


def hostile(mode, said, state):
    """The guest's agent in a state that follows from its MODE; the rest of the VM works."""
    with Asker(f"mode={mode}") as vm:
        vm.expect(rf"^{said}\r\n")
        wait_until(lambda: vm.agent()["state"] == state, 0, state)
        is_bounded(vm)
        # Other devices, and the control socket, go on.
        assert vm.resize_wait(32 * MiB)["state"] == "done"
        assert vm.resize_wait(0)["state"] == "done"
        yield vm


@test
def a_flood_is_taken_at_twenty_lines_a_second():
    for vm in hostile("flood", "pours", "connected"):
        assert len(vm.events("__org.ebb_AGENT")) == 1
        assert vm.agent()["faults"] == 0


@test
def who_talks_garbage_is_told_of_once_and_heard_no_more():
    with Asker("mode=garbage") as vm:
        vm.expect(r"^pours\r\n")
        wait_until(lambda: vm.agent()["state"] == "broken", 20, "state")
        lines = vm.agent()["lines"]
        idles(vm, looks=1, pause=0.005)
        assert "broken" in vm.autosize()["explanation"], vm.autosize()
        # The guest goes on pouring, and follows its size on the way.
        assert vm.resize_wait(32 * MiB)["state"] == "done"
        agent = vm.agent()
        assert agent["lines"] == lines and agent["faults"] == 8, agent
        states = wait_until(lambda: [e["state"] for e in vm.events("__org.ebb_AGENT")][1:], 10,
                            "event")
        assert states == ["broken"], states
        assert vm.resize_wait(0)["state"] == "done"
        said = re.findall(rb"not listened to any more", vm.errors)
        assert len(said) <= 1, vm.errors


@test
def who_greets_for_ever_is_one_agent():
    for vm in hostile("hello", "greets", "connected"):
        assert len(vm.events("__org.ebb_AGENT")) == 1


@test
def who_says_nothing_costs_nothing():
    with Asker("mode=silent interrupts=1") as vm:
        vm.expect(r"^is silent\r\n")
        idles(vm)
        assert [e["state"] for e in vm.events("__org.ebb_AGENT")] == ["connected"]


main()
