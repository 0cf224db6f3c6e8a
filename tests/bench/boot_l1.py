# SPDX-License-Identifier: Apache-2.0
"""The part of row_boot.py that runs where KVM is real, as root: boots every VM in turn and prints
what the kernel's own tracepoints saw, as JSON.

argv: a JSON object {start, runs, files: {name: path}, timed, first, counted: {name:
[shmem_enabled, argv]}}. FILES are copied to a tmpfs first; @name in an argv is the copy's path.

A boot ends when the guest's /init writes to port 0xf4 (stamp.S). The kinds of runs:
  timed    one event is traced, kvm_pio with port == 0xf4; its time stamp (CLOCK_MONOTONIC) minus
           the start helper's clock before vfork is the time to init
  counted  hist triggers count kvm_userspace_exit (every return from KVM_RUN), kvm_pio, kvm_mmio
           and kvm_exit; all of them stop at that write
  first    the start helper alone: to the first KVM_RUN
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from tracing import TRACING, chosen, histogram, monotonic, read, traced, triggers, write

KEYS = {"kvm_userspace_exit": "reason,errno", "kvm_pio": "port,rw", "kvm_mmio": "gpa,type",
        "kvm_exit": "exit_reason"}
SHMEM = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
STAMP = "port == 0xf4"
SECONDS = 120


def boot(start, argv):
    """Wall and CPU time from start to end in ns, exit code, clock at the start."""
    done = subprocess.run([start, "run", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=SECONDS, check=True, text=True)
    wall, cpu, code, began = map(int, done.stdout.splitlines()[-1].split())
    return wall, cpu, code, began, done.stdout + done.stderr


def timed(start, argv):
    with traced("kvm_pio", STAMP):
        wall, cpu, _, began, output = boot(start, argv)
        stamp = re.search(r"\s([\d.]+): kvm_pio: pio_write at 0xf4 .* val 0x2a",
                          read(f"{TRACING}/trace"))
    if not stamp:
        raise RuntimeError(f"{argv[0]}: init never started: {output[-2000:]}")
    return {"init_ns": int(float(stamp.group(1)) * 1e9) - began, "wall_ns": wall, "cpu_ns": cpu}


def counted(start, argv):
    counts = [(event, f"hist:keys={keys}") for event, keys in KEYS.items()]
    stops = [("kvm_pio", f"disable_hist:kvm:{event} if {STAMP}") for event in KEYS]
    with triggers(counts + stops):
        boot(start, argv)
        return {event: histogram(event) for event in KEYS}


def first(start, argv):
    """Wall and CPU time to the first KVM_RUN, in ns."""
    done = subprocess.run([start, "kvm", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=SECONDS, check=True, text=True)
    return list(map(int, done.stdout.splitlines()[-1].split()[:2]))


def measure(job, folder):
    result = {"kernel": os.uname().release}

    def one(run, shmem, argv):
        write(SHMEM, shmem)
        return run(job["start"], [re.sub(r"@(\w+)", rf"{folder}/\1", arg) for arg in argv])

    for kind, run in (("timed", timed), ("first", first)):
        result[kind] = {name: [] for name in job[kind]}
        for i in range(job["runs"] + 1):  # the first round fills the page cache
            for name, (shmem, argv) in job[kind].items():
                got = one(run, shmem, argv)
                if i:
                    result[kind][name].append(got)
            print(f"bench: boot: {kind} {i} of {job['runs']}", file=sys.stderr, flush=True)
    result["counted"] = {name: one(counted, shmem, argv)
                         for name, (shmem, argv) in job["counted"].items()}
    return result


def main():
    job = json.loads(sys.argv[1])
    folder = tempfile.mkdtemp()
    for name, path in job["files"].items():
        shutil.copy(path, f"{folder}/{name}")
    shmem_before = chosen(SHMEM)
    try:
        with monotonic():
            print(json.dumps(measure(job, folder)))
    finally:  # this may be somebody's own machine
        write(SHMEM, shmem_before)
        shutil.rmtree(folder)


main()
