# SPDX-License-Identifier: Apache-2.0
"""What the rows of the bench share: runs that alternate, medians, peers, the table."""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EBB = f"{ROOT}/build/ebb"
SPIN = f"{ROOT}/build/guests/spin.elf"
RUNS = int(os.environ.get("BENCH_RUNS", "15"))
LOG = f"{ROOT}/build/bench.log"

sys.path[:0] = [f"{ROOT}/tests/lib", f"{ROOT}/tests"]
# VMs that a row stops in the middle leave their sockets here, not among the user's.
RUN_DIR = tempfile.TemporaryDirectory(prefix="ebb-bench-")  # pylint: disable=consider-using-with
os.environ["EBB_RUN_DIR"] = RUN_DIR.name

# pylint: disable=wrong-import-position
from runner.costs import Counter


class Skip(Exception):
    """A row that cannot be measured here; the reason."""


def helper(name):
    """A program that the Makefile builds from tests/bench."""
    return f"{ROOT}/build/{os.uname().machine}-cc/tests/bench/{name}"


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)
    log(text)


def log(text):
    """For build/bench.log alone."""
    with open(LOG, "a", encoding="utf-8") as f:
        f.write(text + "\n")


def output(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, **options).stdout


def alternate(ways, runs=RUNS, warm_up=1):
    """Calls every function of WAYS in turn, RUNS times; the results of each, in order."""
    results = {name: [] for name in ways}
    for i in range(-warm_up, runs):
        for name, way in ways.items():
            one = way()
            if i >= 0:
                results[name].append(one)
    return results


def median(values):
    return statistics.median(values)


def spread(values, scale=1.0):
    return f"min {min(values) * scale:.2f} med {median(values) * scale:.2f} " \
           f"max {max(values) * scale:.2f}"


def machine_load():
    return f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs"


class Qemu:
    """One QEMU binary."""

    def __init__(self, path):
        self.command = [path]
        share = os.path.realpath(path).rsplit("/bin/", 1)[0] + "/share"
        if not path.startswith("/usr/bin/"):  # unpacked, not installed: it finds no firmware
            self.command += ["-L", f"{share}/qemu", "-L", f"{share}/seabios"]
        self.version = re.search(r"version ([\d.]+)", output(path, "--version")).group(1)

    def microvm(self, machine, *arguments):
        """-M microvm and nothing that was not asked for."""
        return [*self.command, "-M", f"microvm,accel=kvm,{machine}", "-nodefaults",
                "-no-user-config", "-display", "none", *arguments]


def installed_qemu():
    path = shutil.which("qemu-system-x86_64")
    if not path:
        raise Skip("no qemu-system-x86_64 is installed to compare with")
    return Qemu(path)


def have_kvm():
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def script_command(name, job, environment):
    return ["/usr/bin/env", *(f"{key}={value}" for key, value in environment.items()),
            "EBB_TEST_SLOW=3", "/usr/bin/python3", "-B", f"{ROOT}/tests/bench/{name}",
            json.dumps(job)]


def script(wrapper, name, job, environment):
    done = subprocess.run([*wrapper, *script_command(name, job, environment)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True,
                          cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


def rig_counts():
    """Whether the rig is an emulated machine, whose instructions can be counted."""
    return output(f"{ROOT}/tests/rig/rig", "--mode").strip() == "nested"


def counted_in_rig(name, job, seconds):
    """What a script of tests/bench prints as JSON at last, and for each line 'step NAME' that it
    printed before the instructions of the rig's machine since the line before, in millions. Counts
    do not depend on the speed or the load of this machine."""
    with tempfile.TemporaryDirectory(prefix="ebb-count-") as folder:
        counter, steps, line = Counter(f"{folder}/count"), {}, ""
        with subprocess.Popen([f"{ROOT}/tests/rig/rig", "--count", counter.path, "--timeout",
                               str(seconds), "--", *script_command(name, job, {})],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              cwd=ROOT) as process:
            for line in process.stdout:
                if line.startswith("step "):
                    steps.setdefault(line.split(" ", 1)[1].strip(), []).append(counter.step())
        if process.returncode:
            raise RuntimeError(f"{name} ended with {process.returncode}")
    return json.loads(line), steps


def in_rig(name, job, seconds, **environment):
    """What a script of tests/bench, given JOB, prints as JSON at last, where KVM is real."""
    return script([f"{ROOT}/tests/rig/rig", "--timeout", str(seconds), "--"], name, job,
                  environment)


def on_kvm(name, job, seconds, **environment):
    """The same on this host's KVM, of whatever kind, or where there is none in the rig: for what
    costs memory, whose price emulation distorts, and few exits."""
    if not have_kvm():
        return in_rig(name, job, seconds, **environment)
    return script(["/usr/bin/timeout", str(seconds)], name, job, environment)


def need_kvm():
    if not have_kvm():
        raise Skip("/dev/kvm is not there or not ours to use")


class Row:
    """One line of the table. GOAL is a bound of the ratio, or with ABSOLUTE of Ebb's own figure."""

    def __init__(self, row, unit, ebb, peer, peer_name, goal=None, absolute=False, why=""):
        self.row, self.unit, self.ebb, self.peer, self.peer_name = row, unit, ebb, peer, peer_name
        self.ratio = ebb / peer if ebb is not None and peer else None
        self.bound, self.absolute, self.why = goal, absolute, why
        self.goal = None
        if goal is not None:
            self.goal = f"<= {goal:g} {unit}" if absolute else f"<= {goal:g}x"
        value = ebb if absolute else self.ratio
        self.met = None if goal is None or value is None else value <= goal

    def as_dict(self):
        return {"row": self.row, "unit": self.unit, "ebb": self.ebb, "peer": self.peer,
                "peer_name": self.peer_name, "ratio": self.ratio, "goal": self.goal,
                "met": self.met}

    def missed(self):
        """By how much and why, as one line."""
        value = self.ebb if self.absolute else self.ratio
        over = value / self.bound
        return (f"{self.row}: {value:.3g}{' ' + self.unit if self.absolute else 'x'}, the goal is "
                f"{self.goal}: {over:.2f} times that. {self.why}")


def skipped(row, unit, goal=None):
    """A row without figures."""
    return Row(row, unit, None, None, None, goal)


def show_table(rows):
    def number(value):
        return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"

    lines = [("row", "unit", "ebb", "peer", "ratio", "goal", "met", "peer's name")]
    for r in rows:
        met = "-" if r.met is None else "yes" if r.met else "NO"
        lines.append((r.row, r.unit, number(r.ebb), number(r.peer), number(r.ratio),
                      r.goal or "-", met, r.peer_name or "-"))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
        print(text, flush=True)
        log(text)


def write_json(rows):
    path = f"{ROOT}/build/bench.json"
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump([r.as_dict() for r in rows], f, indent=1)
        f.write("\n")
    os.rename(path + ".new", path)
