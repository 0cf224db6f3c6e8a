# SPDX-License-Identifier: Apache-2.0
"""`ebb autosize`, `ebb working-set`, and what `ebb stat` shows of a guest that asks; and an agent that
falls silent."""
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from asker import Asker  # pylint: disable=wrong-import-position
from screen import Screen  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from terminal import Terminal  # pylint: disable=wrong-import-position
from vm import EBB, MiB, Vm, ebb, guest, idles, wait_until  # pylint: disable=wrong-import-position


def succeeds(*arguments):
    done = ebb(*arguments)
    assert done.returncode == 0 and not done.stderr, (arguments, done)
    return done.stdout.decode()


def fails(code, *arguments, words=()):
    done = ebb(*arguments)
    assert done.returncode == code, (arguments, done)
    for word in words:
        assert word in done.stderr.decode(), (arguments, word, done.stderr)


def connected(vm):
    vm.expect(r"^ready\r\n")
    return vm.open()


@test
def autosize_shows_and_sets():
    with Asker("bytes=32M") as vm:
        shown = succeeds("autosize", vm.qmp_path)
        assert re.fullmatch(r"autosize: 64 MiB, has 64 MiB; from 64 MiB to 320 MiB; reserve 0 B of 8 MiB\n"
                            r"  no agent [^\n]*\nagent: gone\n", shown), shown
        connected(vm)
        size = vm.need()[1]
        vm.send("s")
        wait_until(lambda: vm.agent()["status"].get("some-percent") == 0, 10, "a status")
        shown = succeeds("autosize", vm.qmp_path)
        assert shown.startswith(f"autosize: {size} MiB, has 64 MiB; ") and \
            "agent: connected, asker\n  available 64 MiB of 64 MiB; stalled 0.0 %\n" in shown, shown
        shown = succeeds("autosize", vm.qmp_path, "off", "--max=256M", "--ceiling", "128M", "--rate=1M",
                         "--cache-age=60")
        assert "from 64 MiB to 256 MiB, ceiling 128 MiB;" in shown, shown
        assert "suspended: 64 MiB stay as they are, by a client" in shown, shown
        out = json.loads(succeeds("autosize", vm.qmp_path, "on", "--ceiling=off", "--json"))
        assert out["enabled"] and "ceiling" not in out, out
        assert (out["min"], out["max"], out["rate"], out["cache-age"]) == \
            (64 * MiB, 256 * MiB, MiB, 60), out
        assert out["agent"]["state"] == "connected", out
        fails(35, "autosize", vm.qmp_path, "perhaps", words=["neither on nor off"])
        fails(35, "autosize", vm.qmp_path, "--max=1G", words=["above boot and elastic memory"])
        fails(35, "autosize", vm.qmp_path, "--min=32M", words=["below the boot memory"])
        fails(35, "autosize", vm.qmp_path, "--rate=1K", words=["--rate", "1M to 1T"])
        fails(35, "autosize", vm.qmp_path, "--cache-age=soon", words=["--cache-age"])


@test
def working_set_asks_the_agent():
    with Asker() as vm:
        fails(1, "working-set", vm.qmp_path, words=["nobody in the guest can tell"])
        connected(vm)
        start = time.time()
        shown = succeeds("working-set", vm.qmp_path)
        assert re.fullmatch(r"working set \(mglru, \d+ s ago\): <1 s 12 KiB, <60 s 1 MiB, older 3 MiB\n",
                            shown), shown
        (out,) = json.loads(succeeds("working-set", vm.qmp_path, "--json", "--node=0"))
        assert out["bins"][1] == {"idle-ms": 60000, "anon": MiB, "file": 0}, out
        assert int(start) <= out["seconds"] <= time.time(), out
        event = vm.qmp.event("__org.ebb_WORKING_SET")["data"]
        assert event["source"] == "mglru" and len(event["bins"]) == 3, event
        fails(35, "working-set", vm.qmp_path, "--node=8", words=["--node"])
        # From outside: in words of its own, and not in place of the guest's.
        shown = succeeds("working-set", vm.qmp_path, "--host=1")
        assert re.fullmatch(r"working set \(host, \d+ s ago\): <100 ms [\d.]+ [KM]iB, (<1 s [\d.]+ [KM]iB,"
                            r" )?older [\d.]+ ([KM]iB|B)\n", shown), shown
        assert len(vm.qmp.command("__org.ebb_query-working-set")) == 2
        assert "(mglru, " in succeeds("working-set", vm.qmp_path)
        fails(35, "working-set", vm.qmp_path, "--host=0", words=["--host"])


@test
def without_an_agent_there_is_nothing_to_show():
    with Vm("-k", guest("console"), "-m", "64M", "--paused") as vm:
        vm.qmp.command("query-status")  # it is there
        fails(1, "autosize", vm.qmp_path, words=["--max SIZE or --agent=on"])
        fails(35, "autosize", vm.qmp_path, "on", words=["--max SIZE or --agent=on"])
        stat = json.loads(succeeds("stat", vm.qmp_path, "--json"))
        assert "autosize" not in stat and "agent" not in stat and stat["working-set"] == [], stat


@test
def an_agent_without_max_is_heard_and_gets_nothing_until_on():
    with Vm("-k", guest("asker"), "-m", "64M", "-e", "256M", "--agent=on", "--paused") as vm:
        vm.qmp.command("cont")
        vm.expect(r"^ready\r\n")
        vm.send("o")
        vm.expect(r"^config 64 320 64 0\r\n")
        vm.send("n")
        vm.expect(r"^answer 0 64 suspended\r\n")
        assert "by the VM has no --max" in succeeds("autosize", vm.qmp_path)
        succeeds("autosize", vm.qmp_path, "on")
        vm.send("n")
        vm.expect(r"^answer 64 1\d\d granted\r\n")


@test
def the_reserve_is_kept_by_a_calm_guest_and_let_go_of_first():
    with Asker("bytes=64M balloon=1") as vm:
        connected(vm)

        def kept():
            vm.send("s")
            time.sleep(0.2)
            return vm.take_both()[1] == 8
        wait_until(kept, 20, "a reserve of 8 MiB")
        state = vm.autosize()
        assert state["reserve"] == state["ballooned"] == state["reserve-max"] == 8 * MiB, state
        assert vm.qmp.command("__org.ebb_stat")["balloon"]["ballooned"] == 8 * MiB
        vm.events("__org.ebb_RESIZE")
        before = len(vm.qmp.events)
        granted, size, why = vm.need()
        assert why == "granted" and granted >= 64, (granted, size, why)
        assert vm.take_both() == (size - 64, 0)
        vm.qmp.command("query-status")
        jobs = [(e["data"]["device"], e["data"]["state"]) for e in vm.qmp.events[before:]
                if e["event"] == "__org.ebb_RESIZE"]
        assert jobs[0] == ("balloon0", "running"), jobs
        assert ("mem0", "done") in jobs and ("balloon0", "done") in jobs, jobs
        wait_until(kept, 20, "the reserve again")


@test
def stat_watches_a_guest_that_asks():
    with Asker("bytes=64M") as vm:
        connected(vm)
        vm.need()
        vm.take()
        vm.send("s")
        vm.send("w")
        wait_until(lambda: vm.qmp.command("__org.ebb_query-working-set"), 10, "a working set")
        with Terminal(EBB, "stat", vm.qmp_path, "--watch=0.2", size=(24, 80)) as client:
            def drawn():
                client.pump(0.05)
                end = client.output.rfind(b"\x1b[J")
                shown = Screen(24, 80).feed(client.output[:max(end, 0)]).visible()
                return shown if any(line.startswith("working set") for line in shown) else None
            shown = wait_until(drawn, 30, "a drawing")
            print("# " + "\n# ".join(shown), flush=True)
            assert len(shown) <= 24 and all(len(line) < 80 for line in shown), shown
            text = "\n".join(shown)
            for pattern in (r"^mem0 +256 MiB +64 MiB +64 MiB", r"^autosize: 128 MiB, has 128 MiB; from ",
                            r"^  the guest asked for 64 MiB \d+ s ago",
                            r"^agent: connected, asker$",
                            r"^  available 128 MiB of 128 MiB; stalled 0\.0 %$",
                            r"^working set \(mglru, \d+ s ago\): <1 s 12 KiB, <60 s 1 MiB, older 3 MiB$"):
                assert re.search(pattern, text, re.MULTILINE), (pattern, shown)
            client.send("q")
            client.restored(0)


@test
def who_falls_silent_is_told_of_once():
    start = time.monotonic()
    with Asker("mode=silent interrupts=1") as vm:
        vm.expect(r"^is silent\r\n")
        event = vm.qmp.event("__org.ebb_AGENT")["data"]
        assert event["state"] == "connected", event
        event = vm.qmp.event("__org.ebb_AGENT")["data"]
        assert event == {"state": "silent"}, event
        # 30 s and three intervals of 2 s.
        assert time.monotonic() - start > 35, time.monotonic() - start
        assert "silent" in vm.autosize()["explanation"], vm.autosize()
        idles(vm)


main()
