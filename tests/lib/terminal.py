# SPDX-License-Identifier: Apache-2.0
"""A command on a terminal of its own, as the foreground job of a session that outlives it: when a
session ends its terminal is reset, and no test could see what ebb left behind."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

from vm import EBB, Vm, hang_limit, wait_until

LFLAG = 3

# Leads the session; tells the pid and the wait status of what it runs, and stays.
LEADER = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
out = int(sys.argv[1])
pid = os.fork()
if not pid:
    os.execv(sys.argv[2], sys.argv[2:])
os.write(out, b"%d\\n" % pid)
os.write(out, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
signal.pause()
"""


class Peer(Vm):
    """Whoever is attached to a console by the descriptor FD, with Vm's way to expect output."""

    def __init__(self, fd):  # pylint: disable=super-init-not-called
        self.fd = fd
        self.output = b""
        self.seen = 0
        self.ended = False
        os.set_blocking(fd, False)

    def pump(self, seconds=0.0):
        if self.ended or not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return False
        except OSError:  # how a pseudo terminal says it
            data = b""
        self.ended = not data
        self.output += data
        return bool(data)

    def poll(self):
        return 0 if self.ended else None

    def expect_end(self):
        wait_until(lambda: self.pump(0.02) or self.ended, 20, "the end of the console")
        while not self.ended:
            self.pump(0.1)

    def send(self, text):
        os.write(self.fd, text.encode() if isinstance(text, str) else text)

    def tail(self):
        return self.output[-1500:].decode(errors="replace")

    def __exit__(self, *_):
        os.close(self.fd)


class Terminal(Vm):
    """The interface of Vm, as far as it is not about a VM; what is on the terminal, stderr too, is
    its output."""

    def __init__(self, *command, env=None, size=(24, 80)):  # pylint: disable=super-init-not-called
        self.folder = tempfile.mkdtemp(prefix="ebb-test-")
        self.qmp_path = os.path.join(self.folder, "qmp.sock")
        self.master, self.slave = pty.openpty()
        self.rows, self.columns = size
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", *size, 0, 0))
        # Settings that no program would choose for a default.
        settings = termios.tcgetattr(self.slave)
        settings[6][termios.VINTR] = b"\x10"
        settings[LFLAG] |= termios.ECHOPRT if hasattr(termios, "ECHOPRT") else 0
        termios.tcsetattr(self.slave, termios.TCSANOW, settings)
        self.before = termios.tcgetattr(self.slave)
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", LEADER, str(writer), *map(str, self.command_line(command))],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, pass_fds=[writer],
            start_new_session=True, env={**os.environ, **(env or {})})
        os.close(writer)
        self.report = os.fdopen(reader, "rb")
        self.pid = int(self.report.readline())
        os.set_blocking(self.master, False)
        os.set_blocking(reader, False)
        self.output = self.errors = b""
        self.code = None
        self._qmp = None
        self.seen = 0

    def command_line(self, command):
        return command

    def settings(self):
        return termios.tcgetattr(self.slave)

    def is_raw(self):
        return not self.settings()[LFLAG] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def pump(self, seconds=0.0):
        """Reads what there is, waiting at most SECONDS for some, or for the end of the command;
        whether there was any."""
        fds = [self.master] + ([self.report.fileno()] if self.code is None else [])
        if self.master not in select.select(fds, [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except BlockingIOError:
            data = b""
        self.output += data
        return bool(data)

    def send(self, text):
        data = text.encode() if isinstance(text, str) else text
        while data:
            wait_until(lambda: select.select([], [self.master], [], 0.1)[1], 20, "room to type")
            data = data[os.write(self.master, data):]

    def poll(self):
        """The exit code of ebb, negative for a signal; None while it runs."""
        if self.code is None:
            line = self.report.readline()
            self.code = int(line) if line else None
        return self.code

    def wait(self, seconds=0):
        end = time.monotonic() + hang_limit(seconds)
        while self.poll() is None:
            assert time.monotonic() < end, f"still running: {self.tail()}"
            self.pump(0.2)
        while self.pump(0):
            pass
        return self.code

    def signal(self, number=signal.SIGTERM):
        os.kill(self.pid, number)

    def tail(self):
        return self.output[-1500:].decode(errors="replace")

    def restored(self, code):
        """It ends with CODE, and the terminal is as it was."""
        assert self.wait() == code, (self.code, self.tail())
        self.expect_restored()

    def expect_restored(self):
        """Whoever gives the terminal back when ebb can't needs a moment."""
        wait_until(lambda: self.settings() == self.before, 10,
                   f"the settings {self.before}; they are {self.settings()}")

    def end(self):
        if self.poll() is None:
            self.signal(signal.SIGTERM)
        self.wait()
        self.expect_restored()

    def clean_up(self):
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        if self._qmp:
            self._qmp.close()
        self.report.close()
        os.close(self.master)
        os.close(self.slave)
        for name in os.listdir(self.folder):
            os.unlink(os.path.join(self.folder, name))
        os.rmdir(self.folder)


class TerminalVm(Terminal):
    """`ebb run` with the options ARGUMENTS."""

    def command_line(self, command):
        return [EBB, "run", "--qmp", self.qmp_path, *command]

    def end(self):
        if self.poll() is None:
            self.send("\x01x")
        self.wait()
        self.expect_restored()
