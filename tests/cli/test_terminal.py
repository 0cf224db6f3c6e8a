# SPDX-License-Identifier: Apache-2.0
"""The terminal is as it was, whichever way ebb ends."""
import contextlib
import fcntl
import glob
import os
import signal
import socket
import struct
import sys
import tempfile
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, read, test  # pylint: disable=wrong-import-position
from terminal import Peer, TerminalVm  # pylint: disable=wrong-import-position
from vm import guest, wait_until  # pylint: disable=wrong-import-position


def console(params="", *more):
    return TerminalVm("-k", guest("console"), "-m", "64M", "--debug-exit", "-p", params, *more)


def guardians(vm):
    """Pids of the processes that watch over the terminal of VM."""
    found = []
    for folder in glob.glob("/proc/[0-9]*"):
        if read(f"{folder}/comm") == "ebb-terminal\n":
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/fd/0") == os.ttyname(vm.slave):
                    found.append(int(folder.split("/")[2]))
    return found


def up(vm):
    """The guest runs, and the terminal is raw meanwhile: else nothing had to be restored."""
    vm.expect(r"ready\r\n")
    assert vm.is_raw(), vm.settings()


def restored(vm, code):
    """By ebb itself: at once."""
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
def sigkill():
    with console() as vm:
        up(vm)
        vm.signal(signal.SIGKILL)
        vm.restored(-signal.SIGKILL)


@test
def what_another_has_set_meanwhile_stays():
    # A shell that has noticed the end of its job before the guardian has.
    with console() as vm:
        up(vm)
        os.kill(vm.pid, signal.SIGSTOP)
        changed = vm.settings()
        changed[3] |= termios.ECHO
        termios.tcsetattr(vm.slave, termios.TCSANOW, changed)
        vm.signal(signal.SIGKILL)
        vm.wait()
        wait_until(lambda: not guardians(vm), 10, "the guardian to end")
        assert vm.settings() == changed, (changed, vm.settings())
        termios.tcsetattr(vm.slave, termios.TCSANOW, vm.before)


@test
def the_guardian_ends_with_ebb_and_holds_nothing():
    with console() as vm:
        up(vm)
        (pid,) = guardians(vm)
        held = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert len(held) == 2 and os.ttyname(vm.slave) in held, held
        vm.send("q")
        restored(vm, 0)
        wait_until(lambda: not guardians(vm), 10, "the guardian to end")


@test
def ctrl_a_x_when_the_guest_does_not_read():
    with console() as vm:
        up(vm)
        vm.qmp.command("stop")
        vm.send(b"a" * 1000)
        vm.send(b"b" * 9000)
        vm.send("\x01x")
        restored(vm, 0)


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


@test
def hvc0_on_the_terminal():
    with TerminalVm("-k", guest("ports"), "-m", "64M", "--debug-exit", "--hvc=stdio", "--port",
                    "test", size=(25, 90)) as vm, socket.socket(socket.AF_UNIX) as serial:
        wait_until(lambda: os.path.exists(f"{vm.folder}/qmp.console"), 20, "the serial port")
        serial.connect(f"{vm.folder}/qmp.console")
        serial = Peer(serial.detach())
        serial.expect("^ready\r\n")
        assert vm.is_raw(), vm.settings()
        serial.send("h")
        vm.expect("^hello on hvc0\n")
        serial.send("z")
        serial.expect("^size 90 25\r\n")
        fcntl.ioctl(vm.master, termios.TIOCSWINSZ, struct.pack("4H", 43, 132, 0, 0))
        wait_until(lambda: serial.send("z") or
                   serial.expect(r"^size (\d+) ").group(1) == b"132", 10, "the new size")
        vm.send("\x01x")
        restored(vm, 0)
        os.close(serial.fd)


main()
