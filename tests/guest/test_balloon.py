# SPDX-License-Identifier: Apache-2.0
"""The balloon with bare-metal guests: what they give back leaves the host's memory and comes back
whole, whatever the order and the features; nothing else is touched. Of that the host is asked."""
import itertools
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from tap import main, test
from vm import KiB, MiB, Vm, guest, wait_until

# Each page costs an emulated machine a quarter of a millisecond, and is written several times.
MIB = 20
PAGE = 4 * KiB
BALLOON = "/machine/peripheral/balloon0"
SIZE = r"^size (\d+) target (\d+) moved (\d+) requests (\d+) ns \d+ cycles \d+\r\n"
# The first answer touches pages of the guest's own, the rings' among them.
SLACK_BYTES = 64 * KiB


class GuestVm(Vm):
    """A guest of guests/ with the balloon."""

    def __init__(self, name, params="", *arguments, mib=MIB):
        self.bytes, self.name = mib * MiB, name
        super().__init__("-k", guest(name), "-p", params, "-m", f"{mib}M", "--debug-exit",
                         *arguments)

    def held(self):
        return self.resident("ebb-boot")

    def inflate(self, pages):
        """The guest's balloon has that many pages; what it said of the way."""
        self.qmp.command("balloon", value=self.bytes - pages * PAGE)
        size, target, moved, requests = map(int, self.expect(SIZE, 60).groups())
        assert size == target == pages, f"{size} pages in the balloon, {pages} wanted"
        return moved, requests

    def passes(self):
        self.expect(f"^PASS guests/{self.name}.c", 60)
        assert self.wait() == 0


def become(vm, least, most, what):
    """The host's count comes between the two, soon."""
    wait_until(lambda: least <= vm.held() <= most, 5, f"{what}: {least >> 10} to {most >> 10} KiB")


def balloon_round(vm, most=MIB * MiB):
    """Out, MOST pages, half back, out again, all back; the guest checks its memory, the test the
    host's."""
    spare = int(vm.expect(r"^spare (\d+)\r\n", 60).group(1))
    vm.expect(SIZE)
    full = vm.held()
    assert full >= spare * PAGE, f"{full >> 10} KiB are held, the guest wrote {spare} pages"
    pages = min(spare - spare // 8, most)
    for wanted, was in ((pages, 0), (pages // 2, pages), (pages - 100, pages // 2),
                        (0, pages - 100)):
        moved, _ = vm.inflate(wanted)
        assert moved == abs(wanted - was), f"{moved} pages moved"
        want = full - wanted * PAGE
        become(vm, want, want + SLACK_BYTES, f"{wanted} pages in the balloon")
        assert vm.qmp.command("query-balloon")["actual"] == vm.bytes - wanted * PAGE
        vm.send("c")
        assert int(vm.expect(r"^intact (\d+)\r\n", 60).group(1)) == spare - wanted
    vm.send("q")
    vm.passes()


@test
def inflated_pages_leave_and_the_others_stay():
    for huge in ("never", "auto", "always"):
        with GuestVm("balloon", "", f"--huge={huge}") as vm:
            balloon_round(vm)


@test
def the_same_in_any_order():
    for huge in ("never", "always"):
        with GuestVm("balloon", "order=random", f"--huge={huge}") as vm:
            balloon_round(vm)


@test
def the_same_in_small_requests():
    for params, huge, most in (("batch=37 seed=7", "always", 1200), ("batch=1 seed=3", "never", 240)):
        with GuestVm("balloon", f"order=random {params}", f"--huge={huge}", mib=16) as vm:
            balloon_round(vm, most)


@test
def pages_may_be_used_before_the_answer_without_must_tell_host():
    for params in ("tell=0", "tell=0 order=random batch=100"):
        with GuestVm("balloon", params, "--huge=always") as vm:
            balloon_round(vm)


@test
def the_rings_features_make_no_difference():
    for ring in ("plain", "indirect"):
        with GuestVm("balloon", f"ring={ring} stats=0") as vm:
            balloon_round(vm)


@test
def a_guest_in_need_takes_pages_back():
    with GuestVm("balloon") as vm:
        vm.expect(SIZE)
        full = vm.held()
        vm.inflate(2048)
        vm.send("o")
        size, target = map(int, vm.expect(SIZE).group(1, 2))
        assert (size, target) == (2048 - 256, 2048)
        want = full - size * PAGE
        become(vm, want, want + SLACK_BYTES, "a guest that took some back")
        assert vm.qmp.command("query-balloon")["actual"] == vm.bytes - size * PAGE
        assert vm.inflate(1728) == (64, 1)
        vm.send("q")
        vm.passes()


def report(params, *arguments, kept=False):
    with GuestVm("report", f"wait=1 {params}", *arguments, mib=28) as vm:
        area = int(vm.expect(r"^area 0x\w+ bytes (\d+)\r\n", 60).group(1))
        vm.expect(r"^step written 1\r\n", 60)
        before = vm.held()
        vm.send("g")
        nr, size = map(int, vm.expect(r"^reported (\d+) pieces of (\d+) bytes", 60).groups())
        assert nr * size * 2 == area
        vm.expect(r"^step reported 1\r\n")
        want = before if kept else before - nr * size
        assert want <= vm.held() <= want + SLACK_BYTES, \
            f"{params}: {vm.held() >> 10} KiB are held, {want >> 10} should be"
        vm.send("g")
        vm.expect(r"^step used 1\r\n", 60)
        assert before <= vm.held() <= before + SLACK_BYTES
        vm.send("g")
        vm.passes()


@test
def reported_memory_leaves_and_reads_as_zeros():
    for params in ("", "order=random batch=2", "size=64K", "size=4M poison=off"):
        for huge in ("never", "always"):
            report(f"bytes=16M {params}", f"--huge={huge}")


@test
def reports_of_single_pages_spare_their_neighbours():
    report("size=4K bytes=4M order=random", "--huge=never")
    # Of a huge page the host may keep what is reported in pieces; the guest sees zeros.
    with GuestVm("report", "size=4K bytes=4M order=random", "--huge=always", mib=16) as vm:
        vm.passes()


@test
def poisoned_memory_stays():
    for poison in ("1", "0xaaaaaaaa"):
        report(f"bytes=8M poison={poison}", kept=True)


def hint(params, *arguments, cpus=2):
    """Runs hint.c under a reclaim: (hinted, taken, kept, gone, lost), and what ebb says of it."""
    with GuestVm("hint", params, "--cpus", cpus, *arguments, mib=28) as vm:
        area = int(vm.expect(r"^area 0x\w+ bytes (\d+)\r\n", 60).group(1))
        vm.expect(r"^ready\r\n", 60)
        before = vm.held()
        vm.qmp.command("__org.ebb_reclaim", timeout=3600)
        vm.expect(r"^run 0x\w+ hinted \d+\r\n", 60)
        run = vm.qmp.event("__org.ebb_RECLAIM")["data"]
        while run["state"] == "running":
            run = vm.qmp.event("__org.ebb_RECLAIM")["data"]
        vm.expect(r"^hinted ", 60)
        vm.passes()
        counts = re.search(rb"hinted (\d+) taken (\d+) kept (\d+) gone (\d+) rounds \d+ lost (\d+)",
                           vm.output).groups()
        assert before >= area
        return (*map(int, counts), run)


@test
def what_is_written_after_the_hint_is_not_lost():
    for params, huge in (("blocks=4", "never"), ("blocks=4", "always"), ("size=2M blocks=8", "never"),
                         ("size=2M blocks=8", "always"), ("blocks=4 stats=0", "always")):
        hinted, taken, kept, gone, lost, run = hint(params, f"--huge={huge}")
        print(f"# {params} {huge}: {hinted} hinted, {taken} taken, {kept} kept, {gone} gone")
        assert taken == hinted // 2 and not lost and not kept and gone == hinted - taken
        assert run["state"] == "done", run


@test
def all_that_is_hinted_and_left_alone_goes():
    hinted, taken, kept, gone, _, run = hint("take=0 blocks=4", cpus=1)
    assert not taken and not kept and gone == hinted > 0
    assert run["hinted"] == run["freed"] == hinted * 4 * MiB and not run["written"], run


@test
def each_queue_is_where_the_features_put_it():
    """Inflation and reports whatever else the device has; inflation where there are no reports, the
    other tests have it where there are."""
    options = ("free-page-hinting", "free-page-reporting", "working-set")
    for values in itertools.product(("on", "off"), repeat=3):
        words = [f"--{name}={value}" for name, value in zip(options, values)]
        for stats in ("", "stats=0"):
            if values[1] == "on":
                with GuestVm("report", f"bytes=4M {stats}", *words, mib=16) as vm:
                    vm.passes()
                continue
            with GuestVm("balloon", f"batch=256 {stats}", *words, mib=16) as vm:
                vm.expect(SIZE)
                assert vm.inflate(512) == (512, 2)
                vm.send("q")
                vm.passes()


@test
def statistics_arrive_as_they_were_sent():
    for tags in (16, 10, 256):
        with GuestVm("stats", f"tags={tags}", mib=16) as vm:
            vm.expect(r"^answer 0\r\n")
            vm.qmp.command("qom-set", path=BALLOON, property="guest-stats-polling-interval",
                           value=1)
            vm.expect(r"^answer 3\r\n")

            def arrived():
                values = vm.qmp.command("qom-get", path=BALLOON, property="guest-stats")["stats"]
                # pylint: disable=cell-var-from-loop
                return values["stat-swap-in"] >= 3000 and values
            values = wait_until(arrived, 10, "the third answer")
            number = values["stat-swap-in"] // 1000
            told = sorted(v for v in values.values() if v != (1 << 64) - 1)
            assert told == [number * 1000 + tag for tag in range(min(tags, 16))], values
            vm.send("q")
            vm.passes()


@test
def working_sets_are_asked_for_and_configured():
    with GuestVm("workset", "bins=3", "--working-set=on", mib=16) as vm:
        vm.expect(r"^ready\r\n")

        def bins(count):
            vm.qmp.command("__org.ebb_ask-working-set", node=1)
            vm.expect(rf"^answer {count} node 1\r\n")
            nodes = wait_until(lambda: [n for n in vm.qmp.command("__org.ebb_query-working-set")
                                        if n["bins"][0]["anon"] == count * 1000], 10, "a report")
            assert [n["node"] for n in nodes] == [1]
            return nodes[0]["bins"]

        found = bins(0)
        assert found == [{"idle-ms": 1000, "anon": 0, "file": 1000000},
                         {"idle-ms": 2000, "anon": 1, "file": 1000001},
                         {"anon": 2, "file": 1000002}], found
        vm.qmp.command("__org.ebb_ask-working-set", node=1, ages_ms=[50, 70, 4000],
                       report_threshold_ms=11, refresh_interval_ms=12)
        vm.expect(r"^config node 1 threshold 11 refresh 12 ages 50 70 4000\r\n")
        found = bins(1)
        assert [b.get("idle-ms") for b in found] == [50, 70, 4000, None], found
        vm.send("r")
        vm.expect(r"^answer 2 node 0\r\n")
        event = vm.qmp.event("__org.ebb_WORKING_SET")["data"]
        while event["node"] != 0:
            event = vm.qmp.event("__org.ebb_WORKING_SET")["data"]
        assert event["bins"][0]["anon"] == 2000, event
        vm.send("q")
        vm.passes()


main()
