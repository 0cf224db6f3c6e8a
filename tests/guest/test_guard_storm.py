# SPDX-License-Identifier: Apache-2.0
"""The guard under load: blocks that come and go while another processor attacks them, and a region
in more pieces than the kernel likes. And what needs other settings of the host: this runs alone."""
import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from guarded import CHUNK, HELD, NESTED, GuestVm, Peak  # pylint: disable=wrong-import-position
from linux import huge_pages  # pylint: disable=wrong-import-position
from tap import main, skip, test  # pylint: disable=wrong-import-position
from vm import KiB, MiB, wait_until  # pylint: disable=wrong-import-position

MAX_MAP_COUNT = "/proc/sys/vm/max_map_count"
BLOCK = 2 * MiB
OTHER_MAPPINGS = 64  # that a process, or a sanitizer, makes meanwhile


def storm(spread):
    """SPREAD: of so many pages the guest uses one. EBB_STORM_ROUNDS, EBB_STORM_ATTACKS and EBB_SEED
    for more of it and another order."""
    rounds = int(os.environ.get("EBB_STORM_ROUNDS", 100 if NESTED else 500))
    least = int(os.environ.get("EBB_STORM_ATTACKS", 500 if NESTED else 20000))
    seed = int(os.environ.get("EBB_SEED", 1))
    blocks = 64
    with GuestVm("storm", "-c", 2, elastic=(f"{blocks * BLOCK // MiB}M",),
                 params=f"rounds={rounds} attacks={least} seed={seed} spread={spread}") as vm:
        vm.step("start")
        with Peak(vm) as peak:
            vm.go()
            found = vm.expect(r"^rounds (\d+) attacks (\d+) verified (\d+) corrupted (\d+) "
                              r"stale (\d+) leaked (\d+) late (\d+)\r\n", 600 + rounds)
            print(f"# EBB_SEED={seed}: {found.group(0).decode().strip()}, peak "
                  f"{peak.most // MiB} MiB", flush=True)
            done, attacks, verified, *wrong, _ = map(int, found.groups())
            plugged, = vm.step("over")
            # Half of the blocks, one that goes, and what violations hold.
            assert peak.most <= (blocks // 2 + 1) * BLOCK + HELD, peak.most
            assert wrong == [0, 0, 0], wrong
            assert done >= rounds and attacks >= least and verified > rounds // 4, \
                (done, verified, attacks)
            if spread == 1:
                wait_until(lambda: peak.now() == plugged * BLOCK, 60, "the end of what violations hold")
        counts = vm.counts()
        assert 0 < counts["violations"] <= attacks + attacks // (10 if NESTED else 100) + 10, counts
        assert vm.guard()["ledger-errors"] == 0
        vm.steps("end")
        assert vm.resident() == 0
        vm.passes()


@test
def a_storm_of_attacks_changes_nothing_and_leaves_nothing():
    storm(16 if NESTED else 1)


@test
def the_same_with_huge_pages():
    try:
        with huge_pages():
            storm(1)
    except PermissionError as e:
        skip(str(e))


@contextlib.contextmanager
def max_map_count(count):
    with open(MAX_MAP_COUNT, encoding="ascii") as f:
        before = f.read()
    with open(MAX_MAP_COUNT, "w", encoding="ascii") as f:
        f.write(str(count))
    try:
        yield
    finally:
        with open(MAX_MAP_COUNT, "w", encoding="ascii") as f:
            f.write(before)


@test
def more_pieces_than_there_may_be_mappings():
    limit = 1000
    try:
        with max_map_count(limit), GuestVm("fragment", elastic=("2G",)) as vm:
            vm.step("start")
            mappings = len(vm.maps())
            for name in ("plugged", "violated", "full", "turned"):
                with Peak(vm) as peak:
                    vm.steps(name)
                    # One mapping more for each border, and half of what the kernel allows.
                    guard, more = vm.guard(), len(vm.maps()) - mappings
                    assert guard["borders"] <= limit // 2, guard
                    assert more <= guard["borders"] + OTHER_MAPPINGS, (more, guard)
                    assert mappings + more <= limit, (mappings, more)
                    if name == "plugged":
                        assert guard["borders"] > limit // 4, guard
                        # A page that an event brings comes with its chunk.
                        assert peak.now() <= 512 * 2 * CHUNK, peak.now()
                    if name == "violated":
                        wait_until(lambda p=peak: p.now() == 0, 60, "violations expire")
                        assert peak.most <= HELD, peak.most
            counts = vm.counts()
            # Some more when the host stalls between an answer and the access; twice as many would be
            # a mistake.
            assert 128 <= counts["reads"] < 192 and 128 <= counts["writes"] < 192, counts
            vm.steps("end")
            # What the last violations left may stay for its second.
            assert vm.resident() <= HELD
            wait_until(lambda: vm.resident() == 0, 60, "nothing is left")
            assert vm.guard()["borders"] == 0
            vm.passes()
    except PermissionError as e:
        skip(str(e))


@test
def violated_memory_is_mapped_by_huge_pages_again():
    try:
        with huge_pages(), GuestVm("sweep", params="slots=1 read=32M write=32M regrow=32M") as vm:
            vm.step("start")
            before = vm.mapped_huge()
            if before != 2 * MiB:
                skip(f"memory never violated is not either: {before // KiB} KiB of 2 MiB")
            vm.steps("read", "written", "settled", "regrown")
            assert vm.mapped_huge() == 32 * MiB, vm.mapped_huge()
            vm.steps("end")
            vm.passes()
    except PermissionError as e:
        skip(str(e))


main()
