# SPDX-License-Identifier: Apache-2.0
"""Signals to `ebb run`, and what ends with it."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import Vm, ebb, guest, wait_until  # pylint: disable=wrong-import-position


def console(*arguments, params=""):
    vm = Vm("-k", guest("console"), "-m", "64M", "--debug-exit", "-p", params, *arguments)
    return vm


@test
def the_first_sigterm_is_the_power_button():
    with console() as vm:
        vm.expect("^ready\r\n")
        vm.signal(signal.SIGTERM)
        vm.expect("^power button\r\n")
        assert vm.wait() == 0
        assert vm.errors == (b"ebb: warning: signal 15: power button pressed; once more stops the "
                             b"VM at once\n"), vm.errors


@test
def the_second_sigterm_ends_the_vm():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with console(params="button=0") as vm:
            vm.expect("^ready\r\n")
            vm.signal(number)
            vm.expect_error("power button pressed")
            time.sleep(0.2)
            assert vm.process.poll() is None
            vm.signal(number)
            assert vm.wait() == 128 + number
            assert not os.path.exists(vm.qmp_path)


@test
def the_last_of_two_different_signals_counts():
    with console(params="button=0") as vm:
        vm.expect("^ready\r\n")
        vm.signal(signal.SIGINT)
        vm.expect_error("signal 2: power button pressed")
        vm.signal(signal.SIGTERM)
        assert vm.wait() == 143


@test
def a_paused_vm_can_not_hear_its_button_and_ends_at_once():
    with console("--paused") as vm:
        wait_until(lambda: os.path.exists(vm.qmp_path), 20, "control socket")
        vm.signal(signal.SIGTERM)
        assert vm.wait() == 143
    with console() as vm:
        vm.expect("^ready\r\n")
        vm.qmp.command("stop")
        vm.signal(signal.SIGINT)
        assert vm.wait() == 130


@test
def a_signal_while_it_starts_is_not_lost():
    for delay in (0, 0.001, 0.003, 0.01):
        with console("-c", 8, params="button=0") as vm:
            time.sleep(delay)
            vm.signal(signal.SIGTERM)
            # Before ebb is ready for signals the default ends it, without a trace.
            if vm.process.poll() is None:
                try:
                    vm.expect_error("power button")
                    vm.signal(signal.SIGTERM)
                except AssertionError:
                    pass
            assert vm.wait() in (-signal.SIGTERM, 143), vm.tail()
            assert vm.process.returncode < 0 or not os.path.exists(vm.qmp_path)
            if vm.process.returncode < 0 and os.path.exists(vm.qmp_path):
                raise AssertionError("killed by the default action with its socket there already")


@test
def a_killed_vm_leaves_a_socket_that_the_next_one_takes():
    with console() as vm:
        vm.expect("^ready\r\n")
        vm.signal(signal.SIGKILL)
        assert vm.wait() == -signal.SIGKILL
        done = ebb("run", "--qmp", vm.qmp_path, "-k", guest("hello"), "-m", "64M", "--debug-exit")
        assert done.returncode == 0, done


@test
def sigpipe_and_sigusr_of_no_interest():
    with console() as vm:
        vm.expect("^ready\r\n")
        vm.signal(signal.SIGPIPE)
        vm.signal(signal.SIGWINCH)
        vm.signal(signal.SIGCHLD)
        vm.send("a")
        vm.expect("^got 61\r\n")


@test
def stopped_and_continued_by_the_shell():
    with console() as vm:
        vm.expect("^ready\r\n")
        vm.signal(signal.SIGSTOP)
        time.sleep(0.2)
        vm.signal(signal.SIGCONT)
        vm.send("a")
        vm.expect("^got 61\r\n")
        assert vm.qmp.command("query-status")["status"] == "running"


main()
