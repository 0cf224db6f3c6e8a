# SPDX-License-Identifier: Apache-2.0
"""`ebb run` on a terminal of its own, as the foreground job of a session that outlives it: when a
session ends its terminal is reset, and no test could see what ebb left behind."""
import os
import pty
import signal
import subprocess
import sys
import tempfile
import termios
import time

from vm import EBB, Vm

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


class TerminalVm(Vm):
    """The interface of Vm; what is on the terminal, stderr too, is its output."""

    def __init__(self, *arguments):  # pylint: disable=super-init-not-called
        self.folder = tempfile.mkdtemp(prefix="ebb-test-")
        self.qmp_path = os.path.join(self.folder, "qmp.sock")
        self.master, self.slave = pty.openpty()
        # Settings that no program would choose for a default.
        settings = termios.tcgetattr(self.slave)
        settings[6][termios.VINTR] = b"\x10"
        settings[LFLAG] |= termios.ECHOPRT if hasattr(termios, "ECHOPRT") else 0
        termios.tcsetattr(self.slave, termios.TCSANOW, settings)
        self.before = termios.tcgetattr(self.slave)
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", LEADER, str(writer), EBB, "run", "--qmp", self.qmp_path,
             *map(str, arguments)],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, pass_fds=[writer],
            start_new_session=True)
        os.close(writer)
        self.report = os.fdopen(reader, "rb")
        self.pid = int(self.report.readline())
        os.set_blocking(self.master, False)
        os.set_blocking(reader, False)
        self.output = self.errors = b""
        self.code = None
        self._qmp = None
        self.seen = 0

    def settings(self):
        return termios.tcgetattr(self.slave)

    def is_raw(self):
        return not self.settings()[LFLAG] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def pump(self, seconds=0.0):
        end = time.monotonic() + seconds
        while True:
            try:
                data = os.read(self.master, 65536)
            except BlockingIOError:
                data = b""
            self.output += data
            if data or time.monotonic() >= end:
                return bool(data)
            time.sleep(0.005)

    def send(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def poll(self):
        """The exit code of ebb, negative for a signal; None while it runs."""
        if self.code is None:
            line = self.report.readline()
            self.code = int(line) if line else None
        return self.code

    def wait(self, seconds=30):
        end = time.monotonic() + seconds
        while self.poll() is None:
            assert time.monotonic() < end, f"still running: {self.tail()}"
            self.pump(0.02)
        while self.pump(0):
            pass
        return self.code

    def signal(self, number=signal.SIGTERM):
        os.kill(self.pid, number)

    def tail(self):
        return self.output[-1500:].decode(errors="replace")

    def end(self):
        if self.poll() is None:
            self.send("\x01x")
        self.wait()

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
