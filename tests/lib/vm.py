# SPDX-License-Identifier: Apache-2.0
"""A VM under test: starts ebb, talks to its console and control socket, and asks the host (never
ebb) how much memory stands behind it."""
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EBB = os.path.join(ROOT, os.environ.get("EBB", "build/ebb"))
GUESTS = os.path.join(ROOT, "build/guests")
KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30
# Emulated machines and sanitizers are slow: every wait is multiplied by this.
SLOW = float(os.environ.get("EBB_TEST_SLOW", "1"))
# What lasts longer hangs. No wait has a shorter limit: how soon a thing comes is nothing that a test
# finds out.
HANG_S = 240
MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ .*?(/memfd:(\S+) .*)?$")
# A variant that finds faults in Ebb's code; what a host loses is measured with the plain one.
SANITIZED = os.path.dirname(EBB).endswith(("-address-undefined", "-thread"))
SANITIZER = re.compile(rb"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:")


def guest(name):
    """Path of a bare-metal guest."""
    return os.path.join(GUESTS, name + ".elf")


def open_files(pid):
    """Path in /proc and target of each descriptor of a process, but of those closed meanwhile."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        try:
            yield path, os.readlink(path)
        except FileNotFoundError:
            pass


def check_sanitizers(errors):
    """Fails when ERRORS, what ebb wrote to stderr, holds a report of a sanitizer."""
    if SANITIZER.search(errors):
        raise AssertionError("sanitizer: " + errors.decode(errors="replace"))


def hang_limit(seconds=0):
    """The limit of a wait, for whom SECONDS would do at the most on a fast machine."""
    return max(seconds, HANG_S) * SLOW


def ebb(*arguments, seconds=0, **options):
    """Runs an ebb command to its end: the subprocess.CompletedProcess, output as bytes. Whoever
    hangs is killed and fails the test."""
    done = subprocess.run([EBB, *map(str, arguments)], check=False, timeout=hang_limit(seconds),
                          **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                             "stderr": subprocess.PIPE, **options})
    check_sanitizers(done.stderr or b"")
    return done


def wait_until(condition, seconds, what):
    """The first true result of CONDITION; fails when it hangs. Looks less and less often: the only
    processor of an emulated machine has better to do."""
    limit = hang_limit(seconds)
    end, pause = time.monotonic() + limit, 0.02
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit:.0f} s: {what}")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.2)


def loop_state(vm):
    """Whether the first thread of ebb waits, how often it has begun to so far, and how often it has
    stopped running at all."""
    with open(f"/proc/{vm.pid}/task/{vm.pid}/status", encoding="ascii") as f:
        text = f.read()
    by_itself, made_to = (int(re.search(rf"^{word}_ctxt_switches:\s+(\d+)", text, re.M).group(1))
                          for word in ("voluntary", "nonvoluntary"))
    return "\nState:\tS" in text, by_itself, by_itself + made_to


def idles(vm, looks=3, pause=0.02):
    """The loop comes to wait, it does not spin: between so many looks in a row, PAUSE seconds apart
    at the least, it has not run at all. A loop that spins has always run. Few looks: on a slow
    machine they take long, and once a second there is a lawful reason to run."""
    last, quiet = None, 0
    end = time.monotonic() + hang_limit()
    while quiet < looks:
        assert time.monotonic() < end, f"the loop of ebb never waits for {looks} looks"
        time.sleep(pause)
        waits, _, stops = loop_state(vm)
        quiet = quiet + 1 if waits and stops == last else 0
        last = stops


@contextlib.contextmanager
def scratch():
    """A folder that goes with the block."""
    folder = tempfile.mkdtemp(prefix="ebb-test-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Qmp:
    """A control connection, negotiated."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(hang_limit())
        self.socket.connect(path)
        self.buffer = b""
        self.events = []
        self.greeting = self.receive()
        self.command("qmp_capabilities")

    def receive(self):
        while b"\r\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("control socket closed")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return json.loads(line)

    def raw(self, name, **arguments):
        """The reply as it is, with `return` or `error`; arguments' _ stand for -."""
        request = {"execute": name}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.socket.sendall(json.dumps(request).encode())
        while True:
            message = self.receive()
            if "event" not in message:
                return message
            self.events.append(message)

    def command(self, name, **arguments):
        reply = self.raw(name, **arguments)
        assert "return" in reply, f"{name}: {reply}"
        return reply["return"]

    def event(self, name, seconds=0):
        """The next event of that name, also one that came in already."""
        end = time.monotonic() + hang_limit(seconds)
        while True:
            for i, event in enumerate(self.events):
                if event["event"] == name:
                    return self.events.pop(i)
            assert self.hear(end - time.monotonic()), f"no event {name}"

    def hear(self, seconds):
        """Waits for one more event, SECONDS at the most; whether it came."""
        if seconds <= 0:
            return False
        self.socket.settimeout(seconds)
        try:
            self.events.append(self.receive())
        except socket.timeout:
            return False
        finally:
            self.socket.settimeout(hang_limit())
        return True

    def close(self):
        self.socket.close()


class Vm:
    """`ebb run` with its console on pipes, or on the files given. A context manager: the process
    never outlives it; one that still runs at the end is told to quit, and must."""

    def __init__(self, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=None):
        self.folder = tempfile.mkdtemp(prefix="ebb-test-")
        self.qmp_path = os.path.join(self.folder, "qmp.sock")
        self.process = subprocess.Popen(
            self.argv(*map(str, arguments)), stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})})
        self.pid = self.process.pid
        self.output = b""
        self.errors = b""
        self._qmp = None
        self.seen = 0
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                os.set_blocking(stream.fileno(), False)

    def argv(self, *arguments):
        return [EBB, "run", "--qmp", self.qmp_path, *arguments]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            time.sleep(0.2)
            while self.pump(0):
                pass
            print("# " + self.tail().replace("\n", "\n# "), flush=True)
        try:
            if not kind:
                self.end()
        finally:
            self.clean_up()

    def end(self):
        """Ends the VM if it still runs, and looks at what it left behind."""
        if self.process.poll() is None:
            try:
                Qmp(self.qmp_path).raw("quit")
            except (EOFError, ConnectionError, FileNotFoundError):
                pass  # on its way already
        self.wait()
        check_sanitizers(self.errors)
        # The one thing that a VM killed by a signal leaves.
        assert self.process.returncode < 0 or not os.path.exists(self.qmp_path), "socket is left"

    def clean_up(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._qmp:
            self._qmp.close()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        shutil.rmtree(self.folder, ignore_errors=True)

    def poll(self):
        """The exit code; None while it runs."""
        return self.process.poll()

    # -- console
    def pump(self, seconds=0.0):
        """Reads what there is, waiting at most SECONDS for some; whether there was any."""
        streams = {stream.fileno(): name
                   for stream, name in ((self.process.stdout, "output"),
                                        (self.process.stderr, "errors"))
                   if stream and not stream.closed}
        ready, _, _ = select.select(list(streams), [], [], seconds)
        got = False
        for fd in ready:
            data = os.read(fd, 65536)
            setattr(self, streams[fd], getattr(self, streams[fd]) + data)
            got = got or bool(data)
        if ready and not got:
            time.sleep(min(seconds, 0.02))  # at an end: select() would not wait any more
        return got

    def expect(self, pattern, seconds=0):
        """Waits for PATTERN in the console's output after what was expected before; the match."""
        pattern = re.compile(pattern.encode() if isinstance(pattern, str) else pattern,
                             re.MULTILINE)
        end = time.monotonic() + hang_limit(seconds)
        while True:
            found = pattern.search(self.output, self.seen)
            if found:
                self.seen = found.end()
                return found
            left = end - time.monotonic()
            ended = self.poll() is not None
            if not self.pump(max(0.0, min(left, 0.2))) and (left <= 0 or ended):
                raise AssertionError(f"console never said {pattern.pattern!r}: {self.tail()}")

    def tail(self):
        return (f"...{self.output[-8000:].decode(errors='replace')}\n"
                f"stderr: {self.errors[-1500:].decode(errors='replace')}\n"
                f"exit code: {self.process.poll()}")

    def send(self, text):
        self.process.stdin.write(text.encode() if isinstance(text, str) else text)
        self.process.stdin.flush()

    def wait(self, seconds=0):
        """The exit code."""
        end = time.monotonic() + hang_limit(seconds)
        while self.process.poll() is None:
            assert time.monotonic() < end, f"still running: {self.tail()}"
            self.pump(0.2)
        while self.pump(0):
            pass
        return self.process.returncode

    def expect_error(self, pattern, seconds=0):
        """Waits for PATTERN on stderr; the match."""
        pattern = re.compile(pattern.encode(), re.MULTILINE)
        end = time.monotonic() + hang_limit(seconds)
        while True:
            found = pattern.search(self.errors)
            if found:
                return found
            ended = self.poll() is not None
            if not self.pump(0.2) and (ended or time.monotonic() > end):
                raise AssertionError(f"stderr never said {pattern.pattern!r}: {self.tail()}")

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    # -- control
    @property
    def qmp(self):
        if not self._qmp:
            def connect():
                assert self.poll() is None, f"ebb has ended: {self.tail()}"
                try:
                    return Qmp(self.qmp_path)
                except (FileNotFoundError, ConnectionRefusedError):
                    self.pump(0)
                    return None
            self._qmp = wait_until(connect, 20, "control socket")
        return self._qmp

    def resize(self, size, device="mem0", **arguments):
        return self.qmp.command("__org.ebb_resize", size=size, device=device, **arguments)[0]

    def job(self, device="mem0"):
        return self.qmp.command("__org.ebb_query-resize", device=device)[0]

    def job_wait(self, job, seconds=0):
        """The end of a resize job, given as a reply or an event showed it: as its last event shows
        it. No event is taken away; the guest may print meanwhile."""
        end = time.monotonic() + hang_limit(seconds)
        seen = 0
        while job["state"] == "running":
            for event in self.qmp.events[seen:]:
                data = event["data"]
                if event["event"] == "__org.ebb_RESIZE" and \
                        (data["device"], data["id"]) == (job["device"], job["id"]):
                    job = data
            seen = len(self.qmp.events)
            if job["state"] == "running":
                self.pump(0)
                self.qmp.hear(min(0.2, end - time.monotonic()))
                assert time.monotonic() < end, \
                    f"{job['device']} is still at it: {self.job(job['device'])} {self.tail()}"
        return job

    def resize_wait(self, size, seconds=0, device="mem0", **arguments):
        """Runs a resize job to its end; the job."""
        return self.job_wait(self.resize(size, device, **arguments), seconds)

    # -- the host, asked from outside
    def memfd(self, name):
        """Path of the memfd NAME (ebb-boot, ebb-mem0) in /proc."""
        for path, target in open_files(self.pid):
            if target.startswith(f"/memfd:{name} "):
                return path
        raise AssertionError(f"no memfd {name}")

    def resident(self, name="ebb-mem0"):
        """Bytes of host memory behind a memfd, as the host counts its blocks."""
        return os.stat(self.memfd(name)).st_blocks * 512

    def mapped_huge(self, name="ebb-mem0"):
        """Bytes of a memfd that Ebb's mapping holds by huge pages."""
        total, inside = 0, False
        with open(f"/proc/{self.pid}/smaps", encoding="ascii", errors="replace") as f:
            for line in f:
                mapping = MAPPING.match(line)
                if mapping:
                    inside = mapping.group(2) == name
                elif inside and line.startswith("ShmemPmdMapped:"):
                    total += int(line.split()[1]) * KiB
        return total

    def status(self, key):
        """A field of /proc/PID/status in bytes: VmPTE, VmRSS."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * KiB
        raise KeyError(key)
