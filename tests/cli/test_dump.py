# SPDX-License-Identifier: Apache-2.0
"""`ebb dump` against a server that does what a test wants: how the file is handed over, and what is
left of it when something goes wrong. With a VM: test_session.py."""
import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from terminal import Terminal  # pylint: disable=wrong-import-position
from vm import EBB, ebb, hang_limit, wait_until  # pylint: disable=wrong-import-position

PARTS = 4
GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""},
                    "capabilities": []}}


class Server:
    """One client: its dump goes on by one of PARTS with each query, up to part END; then it is
    what AFTER says: completed, failed, stays (stays active) or dies (closes the connection)."""

    def __init__(self, after="completed", end=PARTS, refuses=None):
        self.after, self.end, self.refuses = after, end, refuses
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "qmp")
        self.file = os.path.join(self.folder.name, "core")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.seen = []
        self.fds = {}
        self.part = 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def say(self, **message):
        self.client.sendall(json.dumps(message).encode() + b"\r\n")

    def status(self):
        state = "active" if self.part < self.end or self.after == "stays" else self.after
        return {"status": state, "completed": self.part << 30, "total": PARTS << 30}

    def answer(self, request, fds):
        name, arguments = request["execute"], request.get("arguments", {})
        self.seen.append((name, arguments))
        if name == self.refuses:
            return {"error": {"class": "GenericError", "desc": "not today"}}
        if name == "getfd":
            (self.fds[arguments["fdname"]],) = fds
        elif name == "dump-guest-memory":
            self.out = self.fds[arguments["protocol"].removeprefix("fd:")]
            if stat.S_ISREG(os.fstat(self.out).st_mode):
                os.ftruncate(self.out, 0)  # as the VM does
        elif name == "query-dump":
            if self.part == self.end and self.after == "dies":
                raise EOFError
            reply = self.status()
            if reply["status"] == "active" and self.part < self.end:
                os.write(self.out, b"part")
                self.part += 1
            else:
                data = {"result": reply, **({"error": "the disk is full"} if
                                            reply["status"] == "failed" else {})}
                self.say(event="DUMP_COMPLETED", data=data,
                         timestamp={"seconds": 0, "microseconds": 0})
            return {"return": reply}
        return {"return": {}}

    def serve(self):
        self.client, _ = self.listener.accept()
        self.say(**GREETING)
        decoder, buffer, fds = json.JSONDecoder(), "", []
        with contextlib.suppress(EOFError, ConnectionError, BrokenPipeError):
            while True:
                data, got, _, _ = socket.recv_fds(self.client, 65536, 4)
                if not data:
                    break
                fds += got
                buffer = (buffer + data.decode()).lstrip()
                while buffer:
                    try:
                        request, end = decoder.raw_decode(buffer)
                    except ValueError:
                        break
                    buffer = buffer[end:].lstrip()
                    self.say(**self.answer(request, fds), id=request["id"])
                    if request["execute"] == "getfd":
                        fds = []
        self.client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.thread.join(hang_limit())
        assert not self.thread.is_alive(), "the client never hung up"
        for fd in self.fds.values():
            os.close(fd)
        self.listener.close()
        self.folder.cleanup()


@test
def the_file_is_opened_by_the_client_and_handed_over():
    with Server() as server:
        done = ebb("dump", server.path, "core", cwd=server.folder.name)
        assert done.returncode == 0 and not done.stderr, done
        assert done.stdout == b"core: 4 GiB of guest memory\n", done
        with open(server.file, "rb") as f:
            assert f.read() == b"part" * PARTS
        assert os.stat(server.file).st_mode & 0o777 == 0o600
        names = [name for name, _ in server.seen]
        assert names[:3] == ["qmp_capabilities", "getfd", "dump-guest-memory"], names
        assert server.seen[2][1] == {"paging": False, "detach": True, "protocol":
                                     "fd:" + server.seen[1][1]["fdname"]}, server.seen


@test
def an_existing_file_is_kept_unless_by_force():
    with Server() as server:
        with open(server.file, "w", encoding="ascii") as f:
            f.write("a longer text than the dump of this test")
        done = ebb("dump", server.path, server.file)
        assert done.returncode == 35 and b"exists; --force replaces it" in done.stderr, done
        assert "dump-guest-memory" not in dict(server.seen)
        with open(server.file, "rb") as f:
            assert f.read().startswith(b"a longer text")
    with Server() as server:
        with open(server.file, "w", encoding="ascii") as f:
            f.write("a longer text than the dump of this test")
        done = ebb("dump", "--force", server.path, server.file)
        assert done.returncode == 0, done
        with open(server.file, "rb") as f:
            assert f.read() == b"part" * PARTS


@test
def a_dump_that_is_refused_leaves_the_old_file():
    with Server(refuses="dump-guest-memory") as server:
        with open(server.file, "w", encoding="ascii") as f:
            f.write("of yesterday")
        assert ebb("dump", "--force", server.path, server.file).returncode == 1
        with open(server.file, encoding="ascii") as f:
            assert f.read() == "of yesterday"


@test
def progress_on_a_terminal():
    with Server() as server:
        with Terminal(EBB, "dump", server.path, server.file, size=(24, 60)) as client:
            client.restored(0)
            shown = client.output.replace(b"\x1b[K", b"").split(b"\r")
            shown = [line.decode() for line in shown if line.strip()]
        assert re.search(r": paused, 1 GiB of 4 GiB dump", shown[1]), shown
        assert all(len(line) < 60 for line in shown[:-1]), shown
        assert shown[-1].endswith("core: 4 GiB of guest memory"), shown


@test
def a_dump_that_fails_leaves_no_file():
    for options, words in (({"after": "failed", "end": 2}, ["failed: the disk is full"]),
                           ({"after": "dies", "end": 2}, ["closed the connection"]),
                           ({"refuses": "getfd"}, ["not today"]),
                           ({"refuses": "dump-guest-memory"}, ["not today"]),
                           ({"refuses": "query-dump"}, ["not today"])):
        with Server(**options) as server:
            done = ebb("dump", server.path, server.file)
            assert done.returncode == 1 and done.stderr.count(b"\n") == 1, (options, done)
            for word in words:
                assert word.encode() in done.stderr, (options, done)
            assert not os.path.exists(server.file), options


@test
def what_is_no_file_stays_where_it_is():
    with Server(after="failed", end=0) as server:
        os.mkfifo(server.file)
        reader = os.open(server.file, os.O_RDONLY | os.O_NONBLOCK)
        done = ebb("dump", "--force", server.path, server.file)
        assert done.returncode == 1 and os.path.exists(server.file), done
        os.close(reader)


@test
def a_file_that_can_not_be():
    for path, word in (("/nonexistent/core", "No such file"), ("/", "exists"),
                       ("", "No such file")):
        with Server() as server:
            done = ebb("dump", server.path, path)
            assert done.returncode == 35 and word.encode() in done.stderr, (path, done)
    with Server() as server:
        done = ebb("dump", server.path)
        assert done.returncode == 35 and b"which file" in done.stderr, done


@test
def ctrl_c_removes_the_file():
    with Server(after="stays", end=2) as server:
        process = subprocess.Popen([EBB, "dump", server.path, server.file],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: server.part == 2, 20, "half of the dump")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=hang_limit())
        assert process.returncode == 130 and not output and b"stays paused" in errors, errors
        assert not os.path.exists(server.file)


main()
