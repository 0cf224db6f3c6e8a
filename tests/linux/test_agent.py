# SPDX-License-Identifier: Apache-2.0
"""The agent in a stock kernel: memory arrives before there is none and flows back, old page cache
goes and hot page cache stays, and what it costs to have it.

By hand: EBB_AGENT_ROUNDS=50, EBB_AGENT_RATE (MiB/s, instead of half of what is measured),
EBB_AGENT_CACHE=1024,200,20 (MiB read once, MiB that are hot, the age in s), EBB_AGENT_IDLE (so
many of the agent's intervals)."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from linux import AGENT_INITRD, LinuxVm, huge_pages  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from vm import GiB, KiB, MiB, scratch, wait_until  # pylint: disable=wrong-import-position

ROUNDS = int(os.environ.get("EBB_AGENT_ROUNDS", 2))
RATE = int(os.environ.get("EBB_AGENT_RATE", 0))
CACHE, HOT, AGE = map(int, os.environ.get("EBB_AGENT_CACHE", "128,32,10").split(","))
IDLE = int(os.environ.get("EBB_AGENT_IDLE", 4))
# vmm/machine/autosizer.h, guests/agent/shortage.c
INTERVAL_S = 2
FASTEST_RATE = GiB


def agent_vm(*arguments, **options):
    return LinuxVm(*arguments, initrd=AGENT_INITRD, **options)


def resident(vm):
    return sum(vm.resident(name) for name in ("ebb-boot", "ebb-mem0"))


def autosize(vm):
    return vm.qmp.command("__org.ebb_query-autosize")


def connected(vm):
    vm.ready()
    wait_until(lambda: autosize(vm)["agent"]["state"] == "connected", 20, "the agent")
    return vm


def later(vm, times):
    """Once the agent has told how its memory stands so many times more: each interval, by its own
    clock."""
    def told():
        return autosize(vm)["agent"].get("status", {}).get("seconds")
    for _ in range(times):
        wait_until(lambda before=told(): told() != before, 60, "a status")


def eat(vm, mib, rate, hold=0):
    """MiB taken, ms, the longest wait in ms; None: the program was killed."""
    limit = 300 + (10 * mib // rate if rate else 600)  # a hang's
    text = vm.sh(f"eater {mib} {rate} {hold}", limit, check=False)
    found = re.search(r"eater: (\d+) MiB in (\d+) ms, longest wait (\d+) ms", text)
    return found and tuple(map(int, found.groups()))


def sustained(vm):
    """MiB/s at which a guest that has enough memory can use it for the first time."""
    mib, ms, _ = eat(vm, 128, 0)
    return mib * 1000 // ms


def small_vm(**options):
    return agent_vm("-m", "256M", "--max", "2G", "--grow-rate", "1G", **options)


@test
def a_guest_that_takes_1_gib_gets_it_in_time_and_gives_it_back():
    with huge_pages():
        with small_vm(params="ebb.agent=0") as vm:
            vm.ready()
            most = sustained(vm)
            rate = RATE or most // 2
            print(f"# {most} MiB/s sustained, {rate} MiB/s taken", flush=True)
            assert not eat(vm, 1024, rate)
            assert "Out of memory" in vm.sh("dmesg | grep 'Out of memory'")
            print("# without the agent: " +
                  vm.sh("dmesg | grep -o 'Killed process.*anon-rss:[0-9]*kB'"))
        killed, longest = 0, []
        for number in range(ROUNDS):
            with small_vm() as vm:
                connected(vm)
                eaten = eat(vm, 1024, rate)
                end = time.monotonic()
                print(f"# round {number + 1}: {eaten}", flush=True)
                killed += not eaten
                longest.append(eaten and eaten[2])
                assert autosize(vm)["ram"] <= 2 * GiB
                if number + 1 == ROUNDS:
                    flows_back(vm, end)
        print(f"# {killed} of {ROUNDS} killed; longest waits in ms: {longest}")
        assert not killed


def flows_back(vm, start):
    wait_until(lambda: resident(vm) < 400 * MiB, 60, "400 MiB resident")
    print(f"# under 400 MiB in the host after {time.monotonic() - start:.1f} s")
    wait_until(lambda: autosize(vm)["ram"] < 400 * MiB, 60, "unplugged memory")
    print(f"# under 400 MiB in the guest after {time.monotonic() - start:.1f} s: "
          f"{resident(vm) >> 20} MiB in the host")
    # And there it stays.
    needs = autosize(vm)["agent"]["needs"]
    later(vm, 4)
    after = autosize(vm)
    assert after["agent"]["needs"] <= needs + 1 and after["ram"] < 400 * MiB, after


@test
def what_waits_for_memory_gets_some():
    """Page cache that is evicted all the time, and nothing that runs out: stalls alone tell."""
    with scratch() as folder:
        with open(f"{folder}/disk", "wb") as f:
            f.truncate(GiB)
        with agent_vm("-m", "256M", "--max", "512M", "--disk", f"{folder}/disk") as vm:
            connected(vm)
            vm.sh("(sleep 9999 </dev/vda &); (eater 130 0 9999 >/dev/null 2>&1 &)")
            vm.sh("(while true; do dd if=/dev/vda of=/dev/null bs=1M 2>/dev/null; done) &")

            low = {}
            while low.get("why") != "stall" or not low["granted"]:
                low = vm.qmp.event("__org.ebb_GUEST_LOW", 120)["data"]
            print(f"# {low}")
            wait_until(lambda: autosize(vm)["ram"] >= 256 * MiB + 32 * MiB, 20, "memory")


def buffers(vm):
    """Page cache of block devices."""
    return vm.meminfo("Buffers") >> 20


def evicted(vm):
    return vm.qmp.command("__org.ebb_query-agent")["status"]["evicted"]


def refaults(vm):
    return int(vm.sh("grep workingset_refault_file /proc/vmstat").split()[1]) * 4 * KiB >> 20


@test
def old_page_cache_becomes_memory_of_the_host_and_hot_page_cache_stays():
    with huge_pages(), scratch() as folder:
        for name, mib in (("once", CACHE), ("hot", HOT)):
            with open(f"{folder}/{name}", "wb") as f:
                f.truncate(mib * MiB)
        boot = CACHE + HOT + 320
        with agent_vm("-m", f"{boot}M", "--max", f"{boot + 128}M", "--cache-age", 3600,
                      "--disk", f"{folder}/once", "--disk", f"{folder}/hot") as vm:
            connected(vm)
            before = resident(vm) >> 20
            # The kernel drops the cache of a device that nobody has open.
            vm.sh("(sleep 9999 </dev/vda & sleep 9999 </dev/vdb &)")
            vm.sh("(while true; do dd if=/dev/vdb of=/dev/null bs=1M 2>/dev/null; echo >>/tmp/passes; "
                  "sleep 0.5; done) &")
            # What was read five times is hot for the kernel without a refault.
            wait_until(lambda: int(vm.sh("cat /tmp/passes 2>/dev/null | wc -l")) >= 6, 60, "passes")
            vm.sh("dd if=/dev/vda of=/dev/null bs=1M 2>/dev/null", 120)
            later(vm, 2)
            full, cached = resident(vm) >> 20, buffers(vm)
            # Nothing goes that is not old, however long the reading took.
            assert cached >= CACHE + HOT - 1 and not evicted(vm), (cached, evicted(vm))
            assert full >= before + CACHE * 3 // 4, (before, full)
            start = time.monotonic()
            vm.qmp.command("__org.ebb_set-autosize", cache_age=AGE)
            wait_until(lambda: evicted(vm), 3 * AGE + 10, "an eviction")
            first = time.monotonic() - start
            assert first >= AGE * 0.9, f"evicted after {first:.1f} s"
            # A first small piece, then four times as much every quarter of the age.
            wait_until(lambda: resident(vm) >> 20 <= full - CACHE * 3 // 4, 3 * AGE + 10,
                       "old page cache given back")
            took = time.monotonic() - start
            wait_until(lambda: buffers(vm) <= HOT + CACHE // 16, AGE + 10, "the rest")
            left = resident(vm) >> 20
            later(vm, AGE // INTERVAL_S + 1)
            cached, again = buffers(vm), refaults(vm)
            status = vm.qmp.command("__org.ebb_query-agent")["status"]
            print(f"# host: {before} MiB, {full} after {CACHE + HOT} MiB were read, {left} after "
                  f"{took:.1f} s at an age of {AGE} s; {cached} MiB cached, {HOT} are hot, "
                  f"{again} MiB read again; evicted: {status['evicted'] >> 20} MiB")
            assert cached >= HOT * 7 // 8 and again <= max(HOT // 2, 24), (cached, again)
            assert status["evicted"] >= CACHE * 7 // 8 * MiB, status


@test
def it_idles_at_next_to_nothing_and_tells_the_working_set():
    with agent_vm("-m", "256M", "--max", "1G") as vm:
        connected(vm)
        pid = vm.sh("pidof ebb-agent")
        rollup = vm.sh(f"cat /proc/{pid}/smaps_rollup /proc/{pid}/oom_score_adj")
        rss = int(re.search(r"^Rss: +(\d+)", rollup, re.MULTILINE).group(1))
        assert rss <= 1024 and rollup.endswith("\n-1000"), rollup
        later(vm, 2)  # its start is over

        def cost():
            """Processor time in ns, times it ran, the guest's time in s."""
            words = vm.sh(f"cat /proc/{pid}/schedstat /proc/uptime").split()
            return int(words[0]), int(words[2]), float(words[3])

        def said():
            return autosize(vm)["agent"]["lines"]
        first, before = cost(), said()
        later(vm, IDLE)
        # In this order all messages are of that time, however long the shell takes.
        lines, last = said() - before, cost()
        run, slices, seconds = (b - a for a, b in zip(first, last))
        # It looks more often the less is available.
        available = autosize(vm)["agent"]["status"]["available"]
        looks = seconds * FASTEST_RATE / available
        print(f"# {rss} KiB resident; {run / seconds / 1e7:.3f} % CPU, {slices / seconds:.1f} "
              f"wakeups a second, {run / max(slices, 1) / 1000:.0f} us each, emulated; {slices} "
              f"wakeups for {looks:.0f} looks and {lines} messages")
        # How its memory stands, and what it could spare, each at most once an interval.
        assert lines <= 2 * seconds / INTERVAL_S + 2, (lines, seconds)
        assert slices <= 1.5 * (looks + lines) + 10, (slices, looks, lines)
        vm.sh("dd if=/dev/zero of=/tmp/new bs=1M count=32 2>/dev/null")
        vm.qmp.command("__org.ebb_ask-working-set")

        def told():
            sets = vm.qmp.command("__org.ebb_query-working-set")
            return sets and sets[0]
        w = wait_until(told, 10, "a working set")
        total = sum(b["anon"] + b["file"] for b in w["bins"])
        assert w["source"] == "mglru" and 32 * MiB <= total <= 256 * MiB, w
        assert vm.sh("cat /sys/kernel/mm/lru_gen/enabled") == "0x0007"
        # A reboot of the machine is a new agent for the host.
        vm.qmp.command("system_reset")
        vm.expect("ebb-guest: ready", 120)
        wait_until(lambda: autosize(vm)["agent"]["state"] == "connected", 20, "the agent again")
        # Whoever is without an agent can't ask.
        vm.sh("kill $(pidof ebb-agent)")
        wait_until(lambda: autosize(vm)["agent"]["state"] != "connected", 20, "no agent")
        vm.sh("(ebb-agent 2>/tmp/agent.log &)")
        wait_until(lambda: autosize(vm)["agent"]["state"] == "connected", 20, "a new agent")


@test
def a_reclaim_is_no_need():
    with agent_vm("-m", "256M", "--max", "1G") as vm:
        connected(vm)
        later(vm, 2)  # its start is over
        before = autosize(vm)["size"]
        vm.qmp.command("__org.ebb_reclaim", timeout=3600)

        def ended():
            run = vm.qmp.command("__org.ebb_query-reclaim")
            return run["state"] != "running" and run
        run = wait_until(ended, 60, "the reclaim")
        later(vm, 2)
        state = autosize(vm)
        print(f"# {run['freed'] >> 20} MiB taken; {state['agent']['needs']} needs")
        assert run["freed"] >= 64 * MiB, run
        assert state["size"] <= before, (before, state)


main()
