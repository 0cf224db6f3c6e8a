# SPDX-License-Identifier: Apache-2.0
"""The console on files that are no terminals, and on readers and writers that misbehave."""
import fcntl
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import (EBB, KiB, Qmp, Vm, guest,  # pylint: disable=wrong-import-position
                hang_limit, idles, wait_until)

LINE = rb"flood (\d{8}) 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJK\r\n"
LINE_BYTES = 64
# More than the buffer of ebb and the shortened one of a pipe hold together.
FLOOD = 80 * KiB


def console(params="", **files):
    return Vm("-k", guest("console"), "-m", "64M", "--debug-exit", "-p", params, **files)


def fill(vm):
    """Waits until the guest waits for its console: it has left more often than 17 times for each
    16 bytes of FLOOD, so it must be looking again and again whether the port is still busy."""
    wait_until(lambda: vm.qmp.command("__org.ebb_stat")["exits"] > FLOOD * 5 // 4, 120,
               "the guest to fill all buffers")


def check_flood(data, nr_bytes):
    numbers = [int(n) for n in re.findall(LINE, data)]
    assert numbers == list(range(nr_bytes // LINE_BYTES)), \
        f"{len(numbers)} whole lines of {nr_bytes // LINE_BYTES}"
    # Nothing else is in it either.
    assert re.fullmatch(rb"flood of \d+ bytes\r\n(" + LINE + rb")*ready\r\n(PASS .*\r\n)?", data), \
        data[:80] + b"..." + data[-200:]


@test
def input_from_a_pipe_reaches_the_guest():
    with console() as vm:
        vm.expect("^ready\r\n")
        # No escape key here: every byte is the guest's.
        vm.send(b"\x01x\x03\n")
        for byte in b"\x01x\x03\n":
            vm.expect(rf"^got {byte:02x}\r\n")
        vm.process.stdin.close()
        idles(vm)
        assert vm.qmp.command("query-status")["status"] == "running"


@test
def input_from_a_file_is_read_to_its_end():
    text = b"0123456789abcdef" * 10
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        with console(stdin=file) as vm:
            for byte in text:
                assert vm.expect(r"^got (..)\r\n").group(1) == b"%02x" % byte
            idles(vm)
            vm.qmp.command("system_powerdown")
            assert vm.wait() == 0
            assert not vm.errors, vm.errors


@test
def no_input_at_all():
    with console(stdin=subprocess.DEVNULL) as vm:
        vm.expect("^ready\r\n")
        idles(vm)
        assert vm.qmp.command("query-status")["status"] == "running"


@test
def output_to_a_file_is_whole():
    with tempfile.NamedTemporaryFile() as file:
        with console("flood=16K", stdout=file) as vm:
            vm.send("q")
            assert vm.wait() == 0
        with open(file.name, "rb") as f:
            data = f.read()
        check_flood(data, 16 * KiB)
        assert data.endswith(b"ready\r\nPASS guests/console.c\r\n"), data[-100:]


@test
def output_appends_where_it_is_told_to():
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"before\n")
        file.flush()
        with console(stdout=file) as vm:
            vm.send("q")
            assert vm.wait() == 0
        with open(file.name, "rb") as f:
            assert f.read() == b"before\nready\r\nPASS guests/console.c\r\n"


def slow_reader(reader, vm):
    """Reads nothing until the guest waits; then everything, and nothing was lost."""
    fill(vm)
    idles(vm)
    assert vm.qmp.command("query-status")["status"] == "running"
    data = b""
    reader.settimeout(hang_limit())
    while not data.endswith(b"ready\r\n"):
        more = reader.recv(4096)
        assert more, f"the end after {data[-100:]!r}"
        data += more
    check_flood(data, FLOOD)


class PipeReader:
    def __init__(self, fd):
        self.fd = fd

    def settimeout(self, seconds):
        pass

    def recv(self, nr):
        return os.read(self.fd, nr)


@test
def a_reader_who_is_late_misses_nothing():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with console(f"flood={FLOOD}", stdout=writer) as vm:
        os.close(writer)
        slow_reader(PipeReader(reader), vm)
        os.close(reader)


@test
def a_late_reader_at_a_socket_misses_nothing_either():
    # What a service manager gives for an output.
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with console(f"flood={FLOOD}", stdout=theirs.fileno()) as vm:
        theirs.close()
        slow_reader(ours, vm)
        ours.close()
        vm.send("a")
        time.sleep(0.2)
        idles(vm)
        assert vm.qmp.command("query-status")["status"] == "running"


@test
def a_reader_who_never_reads_does_not_keep_the_vm_from_ending():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with console("flood=1M", stdout=writer) as vm:
        os.close(writer)
        wait_until(lambda: vm.qmp.command("__org.ebb_stat")["exits"] > 12 * KiB, 60,
                   "the guest to fill the pipe")
        vm.qmp.command("quit")
        assert vm.wait() == 0
        os.close(reader)


@test
def a_reader_who_goes_away_takes_nothing_with_him():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with console("flood=1M", stdout=writer) as vm:
        os.close(writer)
        fill(vm)
        before = vm.qmp.command("__org.ebb_stat")["exits"]
        os.close(reader)  # in the middle of a flood, with a full buffer
        wait_until(lambda: vm.qmp.command("__org.ebb_stat")["exits"] > before + 1000, 30,
                   "the guest to go on")
        assert vm.qmp.command("query-status")["status"] == "running"
        # The guest still prints, ever to nobody; what the loop may use for that is little.
        vm.qmp.command("stop")
        idles(vm)


@test
def nobody_there_from_the_start():
    reader, writer = os.pipe()
    os.close(reader)
    with console(stdout=writer) as vm:
        os.close(writer)
        vm.send("aaaq")
        assert vm.wait() == 0


@test
def closed_standard_files_are_not_replaced_by_ours():
    # The next descriptor opened would take the number of a closed one: a guest's output, or a
    # message, would end up in it.
    for redirection, fds in (("<&-", (0,)), (">&-", (1,)), ("<&- >&- 2>&-", (0, 1, 2))):
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.Popen(
                ["sh", "-c", f'exec "$0" run --qmp {folder}/q -k {guest("console")} -m 64M '
                 f"--elastic 100M {redirection}", EBB], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                qmp = wait_until(lambda path=f"{folder}/q": os.path.exists(path) and Qmp(path), 20,
                                 "control socket")
                for fd in fds:
                    target = os.readlink(f"/proc/{process.pid}/fd/{fd}")
                    assert target == "/dev/null", (redirection, fd, target)
                qmp.command("quit")
                qmp.close()
                assert process.wait(hang_limit()) == 0, redirection
            finally:
                process.kill()
                process.wait()
            assert not os.listdir(folder), (redirection, os.listdir(folder))


@test
def a_background_job_does_not_stop_at_its_terminal():
    import pty
    master, slave = pty.openpty()
    # A session of its own with that terminal; ebb is not in its foreground.
    script = ("import fcntl, os, sys, termios\n"
              "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
              "pid = os.fork()\n"
              "if not pid:\n"
              "    os.setpgid(0, 0)\n"
              "    os.execv(sys.argv[1], sys.argv[1:])\n"
              "print(pid, flush=True)\n"
              "os.waitpid(pid, 0)\n")
    with tempfile.TemporaryDirectory() as folder:
        leader = subprocess.Popen(
            [sys.executable, "-c", script, EBB, "run", "--qmp", f"{folder}/q", "-k",
             guest("console"), "-m", "64M"], stdin=slave, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            pid = int(leader.stdout.readline())
            wait_until(lambda: os.path.exists(f"{folder}/q"), 20, "control socket")
            os.write(master, b"this line is the shell's\n")
            time.sleep(0.5)
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                state = f.read().rsplit(")", 1)[1].split()[0]
            assert state not in "TtZX", state
            os.kill(pid, 9)
        finally:
            leader.kill()
            leader.wait()
            leader.stdout.close()
            os.close(master)
            os.close(slave)


main()
