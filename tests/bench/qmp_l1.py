# SPDX-License-Identifier: Apache-2.0
"""The part of row_qmp.py that needs KVM, whatever its pace: talks to two idle VMs in turn. Prints
JSON: {VMM: {"trip_us": [...], "event_us": [...]}}.

argv: a JSON object {rounds, trips, pairs, ebb: [words], qemu: [words]}. @qmp and @watch in the
words become the control sockets: QEMU has one client at a time for each.

The requests are ready-made bytes and the answers are only looked at for their end and for "return",
so that little of the time is this program's.
  trip_us   one query-status: from before sending it to after its answer; the median of a round
  event_us  one stop or cont, in turn: from before sending it until its answer is here and a second
            client has its event; the mean of a round
"""
import contextlib
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from bench import alternate, median
from vm import Qmp, Vm, wait_until

STATUS = b'{"execute":"query-status"}\n'
SWITCH = {b'{"execute":"stop"}\n': b'"STOP"', b'{"execute":"cont"}\n': b'"RESUME"'}


class CommandVm(Vm):
    """Any VMM, by its whole command line."""

    def argv(self, *arguments):
        self.watch_path = self.qmp_path  # pylint: disable=attribute-defined-outside-init
        if "@watch" in " ".join(arguments):
            self.watch_path += ".watch"
        places = {"@qmp": self.qmp_path, "@watch": self.watch_path}
        for mark, path in places.items():
            arguments = [a.replace(mark, path) for a in arguments]
        return arguments

    def end(self):
        self.process.kill()


class Client:
    """A negotiated connection, from then on as bytes: without a timeout, which would cost a poll()
    for each call."""

    def __init__(self, path):
        qmp = Qmp(path)
        self.qmp, self.socket, self.rest = qmp, qmp.socket, b""
        assert not qmp.buffer
        self.socket.settimeout(None)

    def line_with(self, text):
        """Reads up to the line with TEXT."""
        while True:
            line, found, rest = self.rest.partition(b"\n")
            if not found:
                data = self.socket.recv(65536)
                if not data:
                    raise EOFError("control socket closed")
                self.rest += data
                continue
            self.rest = rest
            if text in line:
                return
            if b'"error"' in line:
                raise AssertionError(line)

    def ask(self, request):
        self.socket.sendall(request)
        self.line_with(b'"return"')


def trips(client, nr):
    times = []
    for _ in range(nr):
        start = time.perf_counter_ns()
        client.ask(STATUS)
        times.append(time.perf_counter_ns() - start)
    return median(times) / 1e3


def events(client, watcher, pairs):
    start = time.perf_counter_ns()
    for _ in range(pairs):
        for request, event in SWITCH.items():
            client.ask(request)
            watcher.line_with(event)
    return (time.perf_counter_ns() - start) / (2 * pairs) / 1e3


def measure(job):
    with contextlib.ExitStack() as stack:
        clients = {}
        for name in ("ebb", "qemu"):
            vm = stack.enter_context(CommandVm(*job[name]))
            wait_until(lambda v=vm: v.qmp.command("query-status")["status"] == "running", 20,
                       "a running VM")
            vm.qmp.close()
            vm._qmp = None  # pylint: disable=protected-access
            clients[name] = Client(vm.qmp_path), Client(vm.watch_path)
        trip = alternate({n: lambda c=c: trips(c[0], job["trips"]) for n, c in clients.items()},
                         job["rounds"])
        event = alternate({n: lambda c=c: events(*c, job["pairs"]) for n, c in clients.items()},
                          job["rounds"])
        return {n: {"trip_us": trip[n], "event_us": event[n]} for n in clients}


print(json.dumps(measure(json.loads(sys.argv[1]))))
