# SPDX-License-Identifier: Apache-2.0
"""The entropy device of a bare-metal guest: it gives its rate, and no more."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import KiB, Vm, guest  # pylint: disable=wrong-import-position


def run(*arguments, params=""):
    return Vm("-k", guest("entropy"), "-m", "64M", "--debug-exit", "-p", params, *arguments)


@test
def a_guest_gets_random_numbers_and_a_broken_driver_gets_them_back():
    with run(params="bytes=16K hostile=1") as vm:
        vm.expect(r"^16384 bytes")
        vm.expect("^PASS ")
        assert vm.wait() == 0


@test
def the_rate_holds_whatever_the_guest_asks():
    for buffer in (64, 4096):
        with run("--rng", "64K", "--paused", params=f"bytes=128K buffer={buffer}") as vm:
            start = time.monotonic()
            vm.qmp.command("cont")
            # 64 KiB at once, as many more in a second.
            found = vm.expect(r"^(\d+) bytes")
            took = time.monotonic() - start
            print(f"# {buffer}: {took:.2f} s")
            assert 0.95 <= took, took
            assert int(found.group(1)) < 132 * KiB, found
            vm.expect("^PASS ")
            assert vm.wait() == 0


@test
def without_it_there_is_none():
    with run("--rng=off") as vm:
        vm.expect("^FAIL guests/entropy.c")
        assert vm.wait() == 1


main()
