# SPDX-License-Identifier: Apache-2.0
"""The terminal is as it was, whichever way ebb ends."""
import os
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from terminal import TerminalVm  # pylint: disable=wrong-import-position
from vm import guest, wait_until  # pylint: disable=wrong-import-position


def console(params="", *more):
    return TerminalVm("-k", guest("console"), "-m", "64M", "--debug-exit", "-p", params, *more)


def up(vm):
    """The guest runs, and the terminal is raw meanwhile: else nothing had to be restored."""
    vm.expect(r"ready\r\n")
    assert vm.is_raw(), vm.settings()


def restored(vm, code):
    assert vm.wait() == code, (vm.code, vm.tail())
    assert vm.settings() == vm.before, (vm.before, vm.settings())


@test
def power_off_by_the_guest():
    with console() as vm:
        up(vm)
        vm.qmp.command("system_powerdown")
        restored(vm, 0)


@test
def the_exit_port():
    with console() as vm:
        up(vm)
        vm.send("q")
        restored(vm, 0)


@test
def ctrl_a_x():
    with console() as vm:
        up(vm)
        vm.send("\x01x")
        restored(vm, 0)


@test
def ctrl_a_x_of_a_paused_vm():
    with console("", "--paused") as vm:
        wait_until(vm.is_raw, 20, "raw mode")
        vm.send("\x01x")
        restored(vm, 0)


@test
def quit_on_the_control_socket():
    with console() as vm:
        up(vm)
        vm.qmp.command("quit")
        restored(vm, 0)


@test
def sigterm_twice():
    with console("button=0") as vm:
        up(vm)
        vm.signal(signal.SIGTERM)
        # While the terminal is raw a line needs its carriage returned.
        vm.expect(r"signal 15: power button pressed; once more stops the VM at once\r\n")
        assert vm.is_raw()
        vm.signal(signal.SIGTERM)
        restored(vm, 143)


@test
def a_triple_fault():
    with TerminalVm("-k", guest("triple"), "-m", "64M") as vm:
        restored(vm, 33)
        text = vm.output.decode()
        assert "vCPU 0: triple fault\r\n" in text and "instruction bytes:" in text, text
        # Every line of it begins at the left.
        assert "\n" not in text.replace("\r\n", ""), text


@test
def no_reboot():
    with TerminalVm("-k", guest("reboot"), "-m", "64M", "--no-reboot") as vm:
        restored(vm, 32)


@test
def a_start_that_fails():
    for arguments in (("-k", "/nonexistent"), ("-k", "/dev/null"),
                      ("-k", guest("console"), "-m", "0"), ()):
        with TerminalVm(*arguments) as vm:
            restored(vm, 35)
            assert vm.output.startswith(b"ebb: error: ") and vm.output.count(b"\n") == 1, vm.output


@test
def a_start_that_fails_late():
    with tempfile.NamedTemporaryFile() as junk:
        junk.write(bytes(range(256)) * 64)
        junk.flush()
        with TerminalVm("-k", junk.name, "-m", "64M") as vm:
            restored(vm, 35)
            assert b"is not a kernel" in vm.output, vm.output


@test
def signals_that_kill():
    for number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGQUIT):
        with console() as vm:
            up(vm)
            vm.signal(number)
            restored(vm, -number)


@test
def input_reaches_the_guest_and_the_escape_key_has_its_rules():
    with console() as vm:
        up(vm)
        # Ctrl-c, Ctrl-z, Ctrl-d and Ctrl-s mean nothing here: they are for the guest.
        for key in (b"a", b"\x03", b"\x1a", b"\x04", b"\x13", b"\x11", b"\xff", b"\r"):
            vm.send(key)
            vm.expect(rf"^got {key[0]:02x}\r\n")
        vm.send(b"\x01\x01")
        vm.expect(r"^got 01\r\n")
        vm.send(b"\x01y")
        vm.expect(r"^got 79\r\n")
        vm.send(b"x")
        vm.expect(r"^got 78\r\n")
        assert vm.poll() is None


@test
def a_line_pasted_at_once_arrives_whole():
    text = b"More than the 64 bytes that the port holds: the rest waits. " * 4
    with console() as vm:
        up(vm)
        vm.send(text)
        for byte in text:
            assert vm.expect(r"^got (..)\r\n").group(1) == b"%02x" % byte


main()
