# SPDX-License-Identifier: Apache-2.0
"""The part of row_balloon.py that runs where KVM is real. Prints JSON: {inflate: {way: {order:
[{guest_ns, gone_ns, left, huge, requests}, ..., {the same, syscalls}]}}, report: {pages: {ebb_ns:
[...], bare_ns: [...]}}}.

argv: a JSON object {mib, pages, rounds, report_rounds, discard: path, qemu: [words], ways: {name:
{ebb: mode} or {memory: object}}}.

Inflation: guests/balloon.c fills its memory, takes PAGES of it into the balloon, and lets them come
back. VMs of an order stand side by side, stopped but for the one whose turn it is.
  guest_ns  what the guest timed, requests and its own reads and writes of the configuration
  gone_ns   that, and from the guest's last answer until the host has that memory: asked of the host
  left      bytes of it that the host has not got
  huge      bytes that were mapped by huge pages before
  syscalls  of all threads of the VMM in a round of its own, in the same span, by name

Reporting: guests/report.c reports all of 128 MiB by 2 MiB, 32 in a chain; beside it discard.c's
bare punches of 2 MiB of the same kind of pages. Per 2 MiB.
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from bench import alternate
from linux import huge_pages
from micro_vm import PAGE, MicroVm
from tracing import syscalls
from vm import MiB, Vm, guest

SECONDS = 120
MOVE = r"^size (\d+) target \d+ moved (\d+) requests (\d+) ns (\d+) cycles \d+\r\n"
REPORTED = r"^reported (\d+) pieces of \d+ bytes ns (\d+)\r\n"
REPORT_BYTES = 128 * MiB
DISCARD_BLOCKS = 64  # of 2 MiB, in discard.c
# The host is asked so often, and until nothing has gone for so long.
ASK_S = 0.002
QUIET_NS = 2_000_000_000
# Of the inflated memory, what may be left; of anonymous memory as much as khugepaged brings back.
LEFT_RATIO = 0.05


class EbbVm(Vm):
    """The same guest on Ebb."""

    def __init__(self, name, params, mib, mode):
        self.bytes = mib * MiB
        super().__init__("-k", guest(name), "-p", params, "-m", f"{mib}M", f"--huge={mode}",
                         "--debug-exit")

    def held(self):
        return self.resident("ebb-boot")

    def inflate(self, pages):
        self.qmp.command("balloon", value=self.bytes - pages * PAGE)


def start(job, way, name, params):
    if "ebb" in way:
        return EbbVm(name, params, job["mib"], way["ebb"])
    return MicroVm(name, params, job["mib"], way["memory"], "free-page-reporting=on",
                   job["qemu"])


def huge_bytes(vm):
    with open(f"/proc/{vm.pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(kib) << 10 for kib in
                   re.findall(r"(?m)^(?:AnonHugePages|ShmemPmdMapped): +(\d+) kB", f.read()))


def until_gone(vm, wanted):
    """Waits until the host holds no more than WANTED behind the guest, or what it holds has not
    become less for a while; when it became so, and how much more than WANTED it is. (Anonymous
    memory with huge pages: khugepaged fills up what was inflated.)"""
    least, when = vm.held(), time.monotonic_ns()
    while least > wanted and time.monotonic_ns() < when + QUIET_NS:
        time.sleep(ASK_S)
        now = vm.held()
        if now < least:
            least, when = now, time.monotonic_ns()
    return when, least - wanted


def inflate(vm, pages):
    """From an empty balloon to one of PAGES; one round's figures."""
    before, huge = vm.held(), huge_bytes(vm)
    vm.inflate(pages)
    moved = vm.expect(MOVE, SECONDS)
    answered = time.monotonic_ns()
    gone, left = until_gone(vm, before - pages * PAGE)
    size, nr, requests, ns = map(int, moved.groups())
    assert size == nr == pages, f"{size} pages in the balloon, {nr} moved"
    anonymous = any("memory-backend-ram" in word for word in vm.process.args)
    assert anonymous or left <= LEFT_RATIO * pages * PAGE, \
        f"{left} bytes are left of {pages} pages: {vm.process.args}"
    return {"guest_ns": ns, "gone_ns": ns + gone - answered, "left": max(0, left), "huge": huge,
            "requests": requests}


def deflate(vm):
    """The guest has all of it back, and has written it."""
    vm.inflate(0)
    assert int(vm.expect(MOVE, SECONDS).group(1)) == 0


@contextlib.contextmanager
def running(vm):
    """It runs while the block does."""
    vm.signal(signal.SIGCONT)
    yield
    vm.signal(signal.SIGSTOP)


def turn(vm, pages, counted=False):
    with running(vm):
        if counted:
            with syscalls(vm.pid) as counts:
                one = inflate(vm, pages)
            one["syscalls"] = dict(counts)
        else:
            one = inflate(vm, pages)
        deflate(vm)
    return one


def measure_order(job, order):
    """{way: rounds}, the counted one last."""
    with contextlib.ExitStack() as stack:
        vms = {}
        for name, way in job["ways"].items():
            vm = stack.enter_context(start(job, way, "balloon", f"interrupts=1 order={order}"))
            vm.expect(r"^spare \d+\r\n", SECONDS)
            vm.expect(MOVE, SECONDS)
            vm.qmp.command("query-status")
            vm.signal(signal.SIGSTOP)
            vms[name] = vm
        result = alternate({n: lambda v=v: turn(v, job["pages"]) for n, v in vms.items()},
                           job["rounds"])
        for name, vm in vms.items():
            result[name].append(turn(vm, job["pages"], counted=True))
            print(f"bench: balloon: {order}: {name}: {result[name]}", file=sys.stderr, flush=True)
            vm.signal(signal.SIGCONT)
            vm.send("q")
            vm.expect(r"^PASS ", SECONDS)
    return result


def report_ns(way, job, rounds):
    """Per 2 MiB, of each round; the guest checks that the memory is gone."""
    params = f"interrupts=1 every=1 bytes={REPORT_BYTES} rounds={rounds}"
    with start(job, way, "report", params) as vm:
        times = []
        for _ in range(rounds):
            nr, ns = map(int, vm.expect(REPORTED, SECONDS).groups())
            times.append(ns / nr)
        vm.expect(r"^PASS ", SECONDS)
    return times


def punch_ns(job, rounds, pages):
    done = subprocess.run([job["discard"], str(rounds), pages], check=True, text=True,
                          stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    return [int(line.split()[2]) / DISCARD_BLOCKS for line in done.stdout.splitlines()]


def measure_report(job):
    """A few rounds each, in turn. Huge pages are there in a VM's first round alone."""
    ways = {"4k": {"ebb": "never"}, "2M": {"ebb": "always"}}
    result = {pages: {"ebb_ns": [], "bare_ns": []} for pages in ways}
    for _ in range(job["report_rounds"]):
        for pages, way in ways.items():
            result[pages]["ebb_ns"] += report_ns(way, job, 1)
            result[pages]["bare_ns"] += punch_ns(job, 1, pages)
    return result


def main():
    job = json.loads(sys.argv[1])
    with huge_pages("never"):
        orders = {order: measure_order(job, order) for order in ("seq", "random")}
        ebb = any("ebb" in way for way in job["ways"].values())
        report = measure_report(job) if ebb else {}
    print(json.dumps({"inflate": {name: {order: orders[order][name] for order in orders}
                                  for name in job["ways"]}, "report": report}))


main()
