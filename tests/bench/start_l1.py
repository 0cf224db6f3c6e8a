# SPDX-License-Identifier: Apache-2.0
"""The part of row_start.py that runs in the rig, as root: starts each VMM in turn. Prints 'step NAME'
after each round of RUNS starts to their end, and at last as JSON the system calls of all threads up
to the first KVM_RUN: {name: [[call, number], ...]}.

argv: a JSON object {start, runs, rounds, ways: {name: argv}}.
"""
import collections
import json
import re
import subprocess
import sys

from tracing import SYSCALLS, read, write

TRIGGER = "hist:keys=common_pid,id.syscall:size=8192"
LINE = re.compile(r"(?m)^\{ common_pid: +(\d+), id: (?:sys_)?(\S+).*hitcount: +(\d+)")


def start(job, mode, argv):
    """The pid of the helper that has started it."""
    with subprocess.Popen([job["start"], mode, *argv], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL) as process:
        pass
    if process.returncode:
        raise RuntimeError(f"{argv[0]}: {job['start']} ended with {process.returncode}")
    return process.pid


def calls(job, argv):
    """Of whoever is younger than the helper: nothing else is started in the rig meanwhile."""
    trigger = f"{SYSCALLS}/sys_enter/trigger"
    counts = collections.Counter()
    write(trigger, TRIGGER, "a")
    try:
        helper = start(job, "kvm", argv)
        for pid, name, hits in LINE.findall(read(f"{SYSCALLS}/sys_enter/hist")):
            if int(pid) > helper:
                counts[name] += int(hits)
    finally:
        write(trigger, "!" + TRIGGER, "a")
    return counts.most_common()


def main():
    job = json.loads(sys.argv[1])
    for argv in job["ways"].values():
        start(job, "run", argv)  # fills the page cache
    print("step -", flush=True)
    for _ in range(job["rounds"]):
        for name, argv in job["ways"].items():
            for _ in range(job["runs"]):
                start(job, "run", argv)
            print(f"step {name}", flush=True)
    print(json.dumps({name: calls(job, argv) for name, argv in job["ways"].items()}))


main()
