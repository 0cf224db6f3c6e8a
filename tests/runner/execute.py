# SPDX-License-Identifier: Apache-2.0
"""Runs one job to its end."""
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

from runner.costs import Counter
from runner.report import SANITIZER, Report

RIG_FAILED = re.compile(r"^rig: (.*)", re.MULTILINE)
NOT_OK = re.compile(r"^\s*not ok\b", re.MULTILINE)
HANG_S = 900  # for one test, on a machine of the reference's speed; for nothing but a hang
PROGRAM_S = 300  # for what a program does beside its tests


class Process:
    """A command whose output comes line by line; who hangs is killed with all that it started."""

    def __init__(self, command, env, seconds):
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)
        self.hangs = False
        self.timer = threading.Timer(seconds, self.kill)
        self.timer.start()

    def kill(self):
        self.hangs = True
        os.killpg(self.process.pid, signal.SIGKILL)

    def lines(self):
        for line in self.process.stdout:
            yield line.decode(errors="replace")

    def end(self):
        """The exit code."""
        code = self.process.wait()
        self.timer.cancel()
        return "a hang" if self.hangs else code


def command_of(job, count, tap, seconds):
    command = [job.program]
    if job.program.endswith(".py"):
        command = ["/usr/bin/python3", "-B", job.program, *(f"={test}" for test in job.tests)]
    elif job.suite == "fuzz":
        command = ["/usr/bin/python3", "-B", "tests/fuzz/run", job.program]
    elif "/tests/unit/" in job.program:
        command += [f"--tap={tap}", "--jobs", "1"]
    if job.in_rig:
        command = ["tests/rig/rig", "--count", count, "--timeout", str(seconds - PROGRAM_S / 2), "--",
                   *command]
    return command


def attempt(job, slowness, costs, report):
    """The output and the exit code; REPORT has counted the tests."""
    env = {**os.environ, "EBB_TEST_SLOW": f"{slowness:.2f}",
           "EBB_TEST_SECONDS": f"{HANG_S * slowness:.0f}", **job.env}
    seconds = HANG_S * slowness * max(1, len(job.tests)) ** 0.5 + PROGRAM_S
    criterion = "/tests/unit/" in job.program
    with tempfile.TemporaryDirectory(prefix="ebb-run-") as folder:
        counter = Counter(f"{folder}/count")
        process = Process(command_of(job, counter.path, f"{folder}/tap", seconds), env, seconds)
        output = []
        for line in process.lines():
            output.append(line)
            name = None if criterion else report.take(line)
            if name and job.in_rig:
                count(job, name, counter.step(), costs, report)
        code = process.end()
        if criterion and os.path.exists(f"{folder}/tap"):
            with open(f"{folder}/tap", encoding="utf-8", errors="replace") as f:
                for line in f:
                    report.take(line)
    return "".join(output), code


def count(job, name, cost, costs, report):
    if not cost:
        return
    report.lines.append(f"      {job.suite}: {report.program}: {cost:,} M instructions: {name}")
    dear = costs.take(job.suite, job.name, name.split(" # ")[0].strip().replace(" ", "_"), cost)
    if dear:
        report.fail(f"{name}: {dear}")


def run(job, slowness, costs):
    """The report of a job."""
    report = Report(job.suite, job.program)
    start = time.monotonic()
    output, code = attempt(job, slowness, costs, report)
    words = RIG_FAILED.findall(output) if job.in_rig and code == 125 else []
    if words and not NOT_OK.search(output):
        # The machine around the tests died, not they: once more, and aloud.
        report = Report(job.suite, job.program)
        report.show("retry", f"the rig failed: {words[-1]}")
        report.quote(output)
        output, code = attempt(job, slowness, costs, report)
    if not report.total or (code != 0 and not report.failed):
        report.fail(f"ended with {code} after {report.total} tests")
    sanitizer = SANITIZER.search(output)
    if sanitizer and not report.failed:
        report.fail(sanitizer.group(0))
    if report.failed:
        report.quote(output)
    report.lines.append(f"      {job.suite}: {report.program}: {report.total} tests, "
                        f"{time.monotonic() - start:.1f} s")
    return report
