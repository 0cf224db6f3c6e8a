# SPDX-License-Identifier: Apache-2.0
"""footprint: what a VM of 128 MiB and one vCPU costs beside its guest's memory.

The guest (guests/spin.S without its exit port) has run and halts; the VM is paused over QMP, and
after half a second PSS is summed from /proc/PID/smaps over every mapping but the guest's memory,
which is a memfd in both. Kernel memory (page tables, KVM) is not in it. QEMU gets its shortest
form, as in row_start.py. PSS divides a shared page by those who map it, so Ebb runs from a copy
that no other VM shares; libraries are shared with whatever else runs. The log has the private bytes
too.
"""
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time

from bench import (EBB, SPIN, Row, alternate, installed_qemu, log, median, need_kvm, say)
from vm import Qmp, wait_until
from row_start import BARE

RUNS = 3


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
            qmp = wait_until(connect, 20, f"{name}'s control socket")
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
    log(f"footprint: {name}: PSS {pss} KiB, private {private} KiB; largest: " +
        ", ".join(f"{part} {kib}" for kib, part in parts[:8]))
    return pss, parts


def rows():
    need_kvm()
    qemu = installed_qemu()
    peer_name = f"QEMU {qemu.version} microvm"
    say(f"footprint: {RUNS} runs of ebb and {peer_name}")
    peer = qemu.microvm(BARE + ",memory-backend=ram", "-m", "128", "-object",
                        "memory-backend-memfd,id=ram,size=128M", "-kernel", SPIN, "-qmp",
                        "unix:@qmp,server=on,wait=off")
    results = alternate({
        "ebb": lambda: measure("ebb", [EBB, "run", "-m", "128M", "-k", SPIN, "--qmp", "@qmp"]),
        peer_name: lambda: measure(peer_name, peer)}, RUNS, 0)
    parts = results["ebb"][-1][1]
    yield Row(ROWS[0][0], "KiB", median([r[0] for r in results["ebb"]]),
              median([r[0] for r in results[peer_name]]), peer_name, 700, absolute=True,
              why="Most is in: " + ", ".join(f"{name} {kib}" for kib, name in parts[:5]))


ROWS = [("PSS without guest memory, idle, paused", "KiB")]
