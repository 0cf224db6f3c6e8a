# SPDX-License-Identifier: Apache-2.0
"""The host's own estimate of a working set, of a guest whose working set is known and that has no
agent."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import MiB, Vm, guest, wait_until  # pylint: disable=wrong-import-position

HOT, WARM = 12 * MiB, 6 * MiB  # of boot memory, and again of elastic memory
PLUGGED = 48 * MiB
# Ages to ask for; and in units of them, for a machine that is too slow for the first.
SOON_MS, LATER_MS = 1000, 2500
LONGER = (1, 4, 16, 64)
# The runtime's own memory and what is touched around it: by pages, and by huge pages.
MORE = {"never": MiB, "always": 8 * MiB}


def hot_vm(*arguments):
    return Vm("-k", guest("hot"), "-m", "64M", "-e", f"128M,requested={PLUGGED >> 20}M",
              "--debug-exit", "-p", f"hot={HOT >> 20}M warm={WARM >> 20}M", *arguments)


def ask(vm, longer=1):
    vm.qmp.command("__org.ebb_ask-working-set", source="host",
                   ages_ms=[longer * SOON_MS, longer * LATER_MS])


def bins(vm):
    """The ages of the next estimate and the bytes of each."""
    event = vm.qmp.event("__org.ebb_WORKING_SET", LONGER[-1] * LATER_MS // 1000)["data"]
    assert event["source"] == "host" and event["node"] == 0 and "error" not in event, event
    assert vm.qmp.command("__org.ebb_query-working-set") == [event]
    assert len(event["bins"]) == 3 and not any(b["file"] for b in event["bins"]), event
    return [b.get("idle-ms") for b in event["bins"]], [b["anon"] for b in event["bins"]]


def hot_rounds(vm):
    vm.send("h")
    return int(vm.expect(r"^hot (\d+)\r\n").group(1))


def uses(vm, longer):
    """Asks, and has the guest use its warm memory between the two ages. Whether it did, and used its
    hot memory several times within the first: by the clock of both, read from outside."""
    before = time.monotonic()
    ask(vm, longer)
    asked, first = time.monotonic(), hot_rounds(vm)
    wait_until(lambda: hot_rounds(vm) >= first + 4, 0, "four rounds")
    in_time = time.monotonic() <= before + longer * SOON_MS / 1000
    time.sleep(max(0, asked + longer * (SOON_MS + LATER_MS) / 2000 - time.monotonic()))
    vm.send("w")
    vm.expect(r"^warm \d")
    return in_time and time.monotonic() <= before + longer * LATER_MS / 1000


def resident(vm):
    return vm.resident("ebb-boot") + vm.resident("ebb-mem0")


def known(huge):
    with hot_vm(f"--huge={huge}") as vm:
        vm.expect("^step full")
        before = resident(vm)
        for longer in LONGER:
            in_time = uses(vm, longer)
            ages, (hot, warm, rest) = bins(vm)
            # What it says is whole however late anything was.
            assert hot + warm + rest == before == resident(vm), "no page is lost, none comes"
            if in_time and ages == [longer * SOON_MS, longer * LATER_MS, None]:
                break
            print(f"# too slow for {longer} s: {ages}", flush=True)
        else:
            raise AssertionError("guest and host are never in time")
        print(f"# {huge}: {hot / MiB:.1f} MiB hot, {warm / MiB:.1f} warm, {rest / MiB:.1f} idle")
        assert 2 * HOT <= hot <= 2 * HOT + MORE[huge], hot
        assert 2 * WARM - MORE[huge] <= warm <= 2 * WARM + MORE[huge], warm
        # The guest has found its memory as it was, and does so to the end.
        vm.send("q")
        vm.expect("^PASS ")
        assert vm.wait() == 0


@test
def what_a_guest_uses_is_seen_page_by_page():
    known("never")


@test
def and_by_huge_pages():
    known("always")


def refused(vm):
    reply = vm.qmp.raw("__org.ebb_ask-working-set", source="host")
    assert "not now" in reply["error"]["desc"], reply


@test
def a_pause_ends_it_and_one_is_enough():
    with hot_vm() as vm:
        vm.expect("^step full")
        for ages in [], [2, 2], [3, 1], [3600001]:
            reply = vm.qmp.raw("__org.ebb_ask-working-set", source="host", ages_ms=ages)
            assert "rise" in reply["error"]["desc"], reply
        ask(vm)
        refused(vm)
        vm.qmp.command("stop")
        event = vm.qmp.event("__org.ebb_WORKING_SET")["data"]
        assert event["error"] == "the VM was paused" and event["bins"] == [], event
        refused(vm)
        vm.qmp.command("cont")
        ask(vm)
        # What is given back meanwhile is in no bin.
        vm.qmp.command("system_reset")
        assert vm.qmp.event("__org.ebb_WORKING_SET")["data"]["error"] == "the VM was reset"
        vm.expect("step full")
        ask(vm)
        bins(vm)


main()
