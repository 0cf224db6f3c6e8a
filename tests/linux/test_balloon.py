# SPDX-License-Identifier: Apache-2.0
"""The balloon of a stock kernel: inflation, statistics, reporting, hinting, and all of it at once.
What the host holds is asked of the host."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from linux import LinuxVm, huge_pages  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from vm import GiB, MiB, wait_until  # pylint: disable=wrong-import-position

# By hand: more of each, another order.
MIXED_ROUNDS = int(os.environ.get("EBB_MIXED_ROUNDS", 3))
SEED = int(os.environ.get("EBB_SEED", 1))


def resident(vm):
    return vm.resident("ebb-boot")


def use_and_free(vm, mib):
    """The guest writes so much memory and frees it; what the host held while it was in use."""
    vm.sh("mount -o remount,size=100% /dev/shm")
    vm.sh(f"dd if=/dev/zero of=/dev/shm/used bs=1M count={mib} 2>/dev/null", 300)
    used = resident(vm)
    vm.sh("rm /dev/shm/used")
    return used


def balloon(vm):
    return vm.qmp.command("__org.ebb_stat")["balloon"]


def inflate(vm, size, deadline=0):
    """Until the guest has SIZE of its boot memory left, or to a deadline in s; the job."""
    return vm.resize_wait(size, deadline + 120, "balloon0", timeout=deadline)


def reclaim(vm, deadline=3600):
    vm.qmp.command("__org.ebb_reclaim", timeout=deadline)

    def ended():
        run = vm.qmp.command("__org.ebb_query-reclaim")
        return run["state"] != "running" and run
    return wait_until(ended, min(deadline, 110) + 10, "the reclaim")


@test
def inflation_takes_memory_and_deflation_gives_it_back():
    with LinuxVm("-m", "384M", "--free-page-reporting=off") as vm:
        vm.ready()
        total = vm.meminfo("MemTotal")
        used = use_and_free(vm, 200)
        job = inflate(vm, 234 * MiB)
        print(f"# 150 MiB in {job['elapsed-ms']} ms")
        assert job["state"] == "done", job
        now = wait_until(lambda: resident(vm) <= used - 140 * MiB and resident(vm), 5,
                         "150 MiB less in the host")
        assert vm.qmp.command("query-balloon")["actual"] == 234 * MiB
        assert balloon(vm)["ballooned"] == 150 * MiB and balloon(vm)["claimed"] == 150 * MiB
        assert vm.qmp.event("BALLOON_CHANGE")["data"]["actual"] <= 384 * MiB
        print(f"# host: {used >> 20} MiB, {now >> 20} with 150 ballooned")
        # More than there is: short, and it says why.
        job = inflate(vm, 32 * MiB, 4)
        assert job["state"] == "short" and job["explanation"], job
        print(f"# short: {job['reason']}: {job['explanation']}")
        job = inflate(vm, 384 * MiB)
        assert job["state"] == "done", job
        assert balloon(vm)["ballooned"] == 0 and vm.meminfo("MemTotal") == total
        vm.sh("dd if=/dev/zero of=/dev/shm/again bs=1M count=150", 60)
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()


def reporting_returns(params):
    with huge_pages(), LinuxVm("-m", "512M", params=params) as vm:
        vm.ready()
        used = use_and_free(vm, 300)
        assert used >= 300 * MiB, used
        start = time.monotonic()
        # What is left of units of which a part is in use differs by 40 MiB from boot to boot.
        wait_until(lambda: resident(vm) <= used - 230 * MiB, 60, "memory given back unasked")
        print(f"# host: {used >> 20} MiB in use, {resident(vm) >> 20} after "
              f"{time.monotonic() - start:.1f} s")
        assert balloon(vm)["reported"] >= 230 * MiB, balloon(vm)
        again = balloon(vm)["used-again-total"]
        # More than what is free and was not reported.
        vm.sh("dd if=/dev/zero of=/dev/shm/again bs=1M count=300", 60)
        assert balloon(vm)["used-again-total"] >= again + 100 * MiB, balloon(vm)


@test
def freed_memory_comes_back_by_itself():
    reporting_returns("")


@test
def also_from_a_kernel_that_clears_what_it_frees():
    reporting_returns("init_on_free=1")


@test
def an_idle_guest_is_reclaimed_at_once():
    # Linux names no memory of its zone Movable, where elastic memory is: that is unplugged instead.
    with huge_pages(), LinuxVm("-m", "512M", "--free-page-reporting=off") as vm:
        vm.ready()
        vm.make_file("/dev/shm/kept", 16)
        vm.sh("md5sum /dev/shm/kept > /tmp/sum", 120)
        used = use_and_free(vm, 300)
        start = time.monotonic()
        run = reclaim(vm)
        took = time.monotonic() - start
        print(f"# {took * 1000:.0f} ms: host {used >> 20} MiB, then {resident(vm) >> 20}; {run}")
        assert run["state"] == "done" and resident(vm) <= used - 220 * MiB, (resident(vm), run)
        assert run["freed"] + run["written"] == run["hinted"], run
        assert balloon(vm)["hinted"] >= 220 * MiB, balloon(vm)
        vm.sh("md5sum -c /tmp/sum")
        assert vm.meminfo("MemFree") >= 250 * MiB, "the guest has its memory back"


@test
def queues_follow_what_is_offered():
    for reporting in ("on", "off"):
        for hinting in ("on", "off"):
            with huge_pages(), LinuxVm("-m", "256M", f"--free-page-reporting={reporting}",
                                       f"--free-page-hinting={hinting}") as vm:
                vm.ready()
                stats = vm.qmp.command("__org.ebb_query-guest-stats")["stats"]
                assert 200 * MiB < stats["stat-total-memory"] <= 256 * MiB, stats
                reply = vm.qmp.raw("__org.ebb_reclaim", timeout=3600)
                assert ("return" in reply) == (hinting == "on"), reply
                if hinting == "on":
                    wait_until(lambda v=vm: v.qmp.command("__org.ebb_query-reclaim")["state"] ==
                               "done", 30, "a reclaim")
                used = use_and_free(vm, 100)
                if reporting == "on":
                    wait_until(lambda v=vm, u=used: resident(v) <= u - 80 * MiB, 60,
                               "reporting")
                assert inflate(vm, 200 * MiB)["state"] == "done"
                assert (balloon(vm)["reported-total"] > 0) == (reporting == "on"), balloon(vm)


@test
def statistics_are_polled_and_fresh():
    with LinuxVm("-m", "256M") as vm:
        vm.ready()

        def stats():
            return vm.qmp.command("qom-get", path="/machine/peripheral/balloon0",
                                  property="guest-stats")
        vm.qmp.command("qom-set", path="balloon0", property="guest-stats-polling-interval",
                       value=1)
        first = stats()["stats"]["stat-free-memory"]
        vm.sh("dd if=/dev/zero of=/dev/shm/used bs=1M count=50")
        wait_until(lambda: stats()["stats"]["stat-free-memory"] < first - 40 * MiB, 10, "a poll")
        vm.qmp.command("qom-set", path="balloon0", property="guest-stats-polling-interval",
                       value=0)
        vm.sh("rm /dev/shm/used")
        fresh = vm.qmp.command("__org.ebb_query-guest-stats")
        assert fresh["stats"]["stat-free-memory"] > first - 20 * MiB, (first, fresh)
        vm.qmp.command("stop")
        reply = vm.qmp.raw("__org.ebb_query-guest-stats")
        assert "for a second" in reply["error"]["desc"], reply


CHECKSUMS = """(setsid sh -c '
cd /dev/shm; i=0
for f in a b c d; do head -c 2m /dev/urandom > $f; done
md5sum a b c d > sums
while [ ! -e stop ]; do
    md5sum -c -s sums || echo bad >> /tmp/bad
    i=$((i + 1)); echo $i > /tmp/rounds
    f=$(echo a b c d | cut -d" " -f$((i % 4 + 1)))
    rm $f; head -c 2m /dev/urandom > $f; md5sum a b c d > sums
done; echo over > /tmp/over' </dev/null >/dev/null 2>&1 &)"""


@test
def content_stays_under_all_of_it_at_once():
    chance = random.Random(SEED)
    print(f"# EBB_SEED={SEED}, {MIXED_ROUNDS} of each", flush=True)
    with huge_pages(), LinuxVm("-m", "512M", "-e", "1G") as vm:
        vm.ready()
        vm.sh(CHECKSUMS)

        def checked():
            text = vm.sh("cat /tmp/rounds", check=False)
            return int(text) if text.isdigit() else 0
        wait_until(checked, 120, "a first round")
        counts = {"inflate": 0, "reclaim": 0, "resize": 0}
        while min(counts.values()) < MIXED_ROUNDS:
            # Each as often as the others, in any order; the guest compares between each two.
            for what in chance.sample(sorted(counts), len(counts)):
                before = checked()
                if what == "inflate":
                    inflate(vm, chance.randrange(320, 513) * MiB, 10)
                elif what == "reclaim":
                    reclaim(vm, 10)
                else:
                    vm.resize_wait(chance.randrange(0, 5) * 256 * MiB, 30, timeout=10)
                counts[what] += 1
                if chance.random() < 0.3:
                    vm.sh("dd if=/dev/zero of=/dev/shm/noise bs=1M count=100 2>/dev/null; "
                          "rm /dev/shm/noise", 60)
                wait_until(lambda b=before: checked() > b, 120, "a round of checksums")
        vm.sh("touch /dev/shm/stop")
        wait_until(lambda: vm.sh("cat /tmp/over", check=False) == "over", 120, "the last round")
        rounds = int(vm.sh("cat /tmp/rounds"))
        print(f"# {counts}, {rounds} rounds of checksums, {balloon(vm)}")
        assert vm.sh("cat /tmp/bad", check=False).startswith("cat:"), vm.sh("cat /tmp/bad")
        assert rounds >= 3 * MIXED_ROUNDS, (rounds, counts)
        job = inflate(vm, 512 * MiB)
        assert job["state"] == "done", job
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()


if __name__ == "__main__":
    main()
