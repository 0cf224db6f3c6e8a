# SPDX-License-Identifier: Apache-2.0
"""Every way into memory that is not plugged: odd instructions, the fetch of instructions, the walk
of page tables, and the device's own queue. The VM lives on, and the host loses nothing."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from guarded import HELD, GuestVm, Peak  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from vm import MiB, wait_until  # pylint: disable=wrong-import-position


def shadows_page_tables():
    """Whether KVM keeps copies of the guest's page tables: no nested paging."""
    for path in ("kvm_amd/parameters/npt", "kvm_intel/parameters/ept"):
        if os.path.exists(f"/sys/module/{path}"):
            with open(f"/sys/module/{path}", encoding="ascii") as f:
                return f.read().strip() not in ("Y", "1")
    return True


def in_both_layers(name, *steps, params=""):
    """Runs a guest where a memory slot is and where none is; the counts of the guard each time."""
    for slots in (True, False):
        with GuestVm(name, params=f"slots={int(slots)} {params}") as vm:
            vm.step("start")
            with Peak(vm) as peak:
                vm.steps(*steps)
                assert peak.most <= HELD, peak.most
            counts = vm.counts()
            vm.steps("end")
            wait_until(lambda: vm.resident() == 0, 0, "the last chunk is gone")
            vm.passes()
            yield slots, counts


@test
def instructions_of_all_kinds_are_contained():
    for slots, counts in in_both_layers("insns", "round 0", "round 1", "settled"):
        # Without a slot KVM emulates some, for some a slot had to come.
        refused = counts["refused-reads"] + counts["refused-writes"]
        assert (refused == 0) == slots, (slots, counts)
        assert counts["reads"] + counts["writes"] > 0, (slots, counts)


@test
def unplugged_memory_can_be_executed_and_holds_zeros():
    for slots, counts in in_both_layers("fetch", "slid", "executed"):
        # 256 KiB of zeros, twice.
        assert counts["reads"] >= 2 * 4, (slots, counts)


@test
def a_page_table_in_unplugged_memory_is_empty():
    for slots, counts in in_both_layers("walk", "walked", "plugged", "unplugged",
                                        params=f"shadow={int(shadows_page_tables())}"):
        assert counts["violations"] > 0, (slots, counts)


@test
def a_queue_in_unplugged_memory_breaks_its_device_and_nothing_else():
    with GuestVm("rings", elastic=("256M", "256M")) as vm:
        vm.step("start")
        assert vm.counts(1)["violations"] == 0
        parts = ("desc", "avail", "used", "table", "request", "response")
        with Peak(vm, "ebb-mem1") as peak:
            for when in ("never", "never", "later"):
                for part in parts:
                    vm.steps(f"{when} {part}")
            vm.steps("end")
            # One block at most is plugged and used, in four pages.
            assert peak.most <= HELD + 2 * MiB, peak.most
        wait_until(lambda: vm.resident("ebb-mem1") == 0, 5, "nothing held")
        assert vm.resident("ebb-mem0") == 0
        # None of these accesses was the device's: it asks first.
        cpus = {cpu["thread-id"] for cpu in vm.qmp.command("query-cpus-fast")}
        told = [e["data"] for e in vm.qmp.events if e["event"] == "__org.ebb_VIOLATION"]
        assert told and all(data.get("last-thread") in (None, *cpus) for data in told), told
        vm.passes()


@test
def what_is_plugged_stays_so_when_the_driver_changes():
    with GuestVm("reprobe") as vm:
        vm.step("start")
        assert vm.counts()["violations"] == 0

        def grown(name):
            before = vm.counts()
            reads, = vm.steps(name)
            after = vm.counts()
            violations = after["violations"] - before["violations"]
            lawful = after["lawful-reads"] - before["lawful-reads"]
            assert after["writes"] == 0, after
            return reads, violations, lawful
        reads, violations, lawful = grown("reset")
        assert violations >= reads and not lawful, (reads, violations, lawful)
        reads, violations, lawful = grown("lawful")
        assert lawful >= reads and not violations, (reads, violations, lawful)
        reads, violations, lawful = grown("promised")
        assert violations >= reads and not lawful, (reads, violations, lawful)
        vm.steps("end")
        vm.passes()


main()
