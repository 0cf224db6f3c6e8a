# SPDX-License-Identifier: Apache-2.0
"""The kernel's tracepoints, as root, where KVM is real."""
import collections
import contextlib
import os
import re

TRACING = "/sys/kernel/debug/tracing"
KVM = f"{TRACING}/events/kvm"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
SYSCALLS = f"{TRACING}/events/raw_syscalls"


def write(path, text, mode="w"):
    with open(path, mode, encoding="ascii") as f:
        f.write(text)


def read(path):
    with open(path, encoding="ascii", errors="replace") as f:
        return f.read()


def chosen(path):
    """The word in brackets, of a file that lists what it could be."""
    return re.search(r"\[(\S+)\]", read(path)).group(1)


@contextlib.contextmanager
def monotonic():
    """Time stamps are CLOCK_MONOTONIC meanwhile: this may be somebody's own machine."""
    before = chosen(f"{TRACING}/trace_clock")
    write(f"{TRACING}/trace_clock", "mono")
    try:
        yield
    finally:
        write(f"{TRACING}/trace_clock", before)


@contextlib.contextmanager
def traced(event, condition):
    """The buffer, emptied before, gets EVENT of kvm where CONDITION holds."""
    write(f"{TRACING}/trace", "")
    write(f"{KVM}/{event}/filter", condition)
    write(f"{KVM}/{event}/enable", "1")
    try:
        yield
    finally:
        write(f"{KVM}/{event}/enable", "0")
        write(f"{KVM}/{event}/filter", "0")


@contextlib.contextmanager
def triggers(wanted):
    """Installs triggers, [(event, trigger)]."""
    installed = []
    try:
        for event, trigger in wanted:
            write(f"{KVM}/{event}/trigger", trigger, "a")  # "w" would remove the others
            installed.append((event, trigger))
        yield
    finally:
        for event, trigger in reversed(installed):
            write(f"{KVM}/{event}/trigger", "!" + trigger, "a")


def histogram(event):
    """What a hist trigger has counted: [[keys], count], most first."""
    counts = []
    for line in read(f"{KVM}/{event}/hist").splitlines():
        found = re.match(r"\{\s*(.*?)\s*\}\s*hitcount:\s*(\d+)", line)
        if found:
            keys = [int(k.split(":")[1], 0) for k in found.group(1).split(",")]
            counts.append([keys, int(found.group(2))])
    return sorted(counts, key=lambda c: -c[1])


@contextlib.contextmanager
def syscalls(pid):
    """Counts the system calls of all threads that process PID has now: a Counter by name, filled
    when the block ends."""
    counts = collections.Counter()
    threads = " || ".join(f"common_pid == {thread}" for thread in os.listdir(f"/proc/{pid}/task"))
    trigger = f"hist:keys=id.syscall if {threads}"
    path = f"{SYSCALLS}/sys_enter"
    write(f"{path}/trigger", trigger, "a")
    try:
        yield counts
        for name, hits in re.findall(r"(?m)^\{ id: (?:sys_)?(\w+).*hitcount: +(\d+)",
                                     read(f"{path}/hist")):
            counts[name] += int(hits)
    finally:
        write(f"{path}/trigger", "!" + trigger, "a")
