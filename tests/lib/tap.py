# SPDX-License-Identifier: Apache-2.0
"""Tests as functions, results as TAP: @test, skip(), main(). A test that hangs says where."""
import contextlib
import faulthandler
import glob
import os
import signal
import sys
import threading
import time
import traceback

from vm import SLOW

# For one test; its waits end before. tests/run sets what fits the program's limit.
SECONDS = float(os.environ.get("EBB_TEST_SECONDS") or 300 * SLOW)
LONG_S = 5  # what lasts longer says so
GRACE_S = 20  # for a test to fail once its VMs are gone
_tests = []


class Skip(Exception):
    pass


def skip(reason):
    raise Skip(reason)


def test(function):
    _tests.append(function)
    return function


def read(path):
    """What a file of /proc holds; nothing when it is not ours to read, or gone."""
    try:
        with open(path, encoding="ascii", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def descendants(pid):
    """Processes below PID."""
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        for child in map(int, read(path).split()):
            yield child
            yield from descendants(child)


def tell_tasks(pid):
    """Where a process is: name and state of each task, what it waits for, the kernel's stack."""
    for task in glob.glob(f"/proc/{pid}/task/*"):
        name, state, wchan, stack = (read(f"{task}/{file}").strip()
                                     for file in ("comm", "stat", "wchan", "stack"))
        state = state[state.rfind(")") + 2:][:1]
        print("\n#   ".join([f"# {task}: {name} {state} {wchan}", *stack.splitlines()]), flush=True)


class Watchdog:
    """Kills the VMs of a test that lasts too long, then the test."""

    def __init__(self, title):
        self.title = title
        self.ended = threading.Event()
        self.bit = False
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, kind, *_):
        self.ended.set()
        self.thread.join()
        if self.bit and not kind:
            raise AssertionError(f"lasted longer than {SECONDS:g} s")

    def watch(self):
        if self.ended.wait(SECONDS):
            return
        self.bit = True
        print(f"# {self.title} hangs for {SECONDS:g} s", flush=True)
        faulthandler.dump_traceback(sys.stdout)
        for pid in list(descendants(os.getpid())):
            tell_tasks(pid)
            if read(f"/proc/{pid}/comm") == "ebb\n":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if not self.ended.wait(GRACE_S):
            print(f"not ok {self.title}", flush=True)
            os._exit(1)


def main():
    """Runs the tests; with arguments those whose name contains one of them, or is one behind '='."""
    wanted = sys.argv[1:]
    chosen = [t for t in _tests if not wanted or
              any(w[1:] == t.__name__ if w.startswith("=") else w in t.__name__ for w in wanted)]
    failed = 0
    print(f"1..{len(chosen)}", flush=True)
    for number, function in enumerate(chosen, 1):
        title = f"{number} - {function.__name__.replace('_', ' ')}"
        start = time.monotonic()
        try:
            with Watchdog(title):
                function()
            print(f"ok {title}", flush=True)
        except Skip as reason:
            print(f"ok {title} # SKIP {reason}", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
            print(f"not ok {title}", flush=True)
        took = time.monotonic() - start
        if took > LONG_S:
            print(f"# {took:.1f} s", flush=True)
    sys.exit(1 if failed else 0)
