# SPDX-License-Identifier: Apache-2.0
"""The part of row_footprint.py that needs KVM, whatever its pace. Prints as JSON for each setting of
the host's transparent huge pages, VMM and run what the mappings beside the guest's memory hold:
{setting: {name: [{pss, private, parts: [[KiB, mapping], ...]}, ...]}}.

argv: a JSON object {runs, settings: [...], ways: {name: argv}}; @qmp in an argv is the control socket.
"""
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from bench import EBB, alternate
from tracing import THP, chosen, write
from vm import Qmp, wait_until


def smaps(pid):
    """Name of mapping -> [PSS, private dirty + private clean] in KiB; guest memory apart."""
    kinds, name = {}, ""
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as f:
        for line in f:
            head = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)", line)
            if head:
                name = head.group(1).strip() or "[anonymous]"
                continue
            key, value = line.split()[:2]
            if key in ("Pss:", "Private_Dirty:", "Private_Clean:"):
                kinds.setdefault(name, [0, 0])[key != "Pss:"] += int(value)
    return kinds


@contextlib.contextmanager
def running(command):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def measure(name, command):
    """PSS without guest memory, in KiB."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/qmp.sock"
        if command[0] == EBB:
            command = [shutil.copy(EBB, folder), *command[1:]]
        with running([a.replace("@qmp", path) for a in command]) as p:
            def connect():
                if p.poll() is not None:
                    raise RuntimeError(f"{name} ended: {p.stderr.read().decode()}")
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    return Qmp(path)
                return None
            qmp = wait_until(connect, 60, f"{name}'s control socket")
            time.sleep(0.5)
            qmp.command("stop")
            qmp.close()
            time.sleep(0.5)
            kinds = smaps(p.pid)
    guest = {k for k in kinds if k.startswith("/memfd:")}
    if not guest:
        raise RuntimeError(f"{name}: its guest's memory is not where it was asked to be")
    pss = sum(v[0] for k, v in kinds.items() if k not in guest)
    private = sum(v[1] for k, v in kinds.items() if k not in guest)
    parts = sorted(((v[0], os.path.basename(k)) for k, v in kinds.items() if k not in guest),
                   reverse=True)
    return {"pss": pss, "private": private, "parts": parts[:8]}


@contextlib.contextmanager
def transparent_huge_pages(setting):
    """As they were afterwards: this may be somebody's own machine."""
    before = chosen(THP)
    if before == setting:
        yield
        return
    write(THP, setting)
    try:
        yield
    finally:
        write(THP, before)


def main():
    job, result = json.loads(sys.argv[1]), {}
    for setting in job["settings"]:
        with transparent_huge_pages(setting):
            result[setting] = alternate({name: lambda n=name, c=argv: measure(n, c)
                                         for name, argv in job["ways"].items()}, job["runs"], 0)
    print(json.dumps(result))


main()
