# SPDX-License-Identifier: Apache-2.0
"""The part of row_hint.py that runs where KVM is real. Prints JSON: {ebb: {mode: {clear: [ms, ...]}},
protect: the same}.

argv: a JSON object {mib, rounds, protect: path}. guests/hint.c names all of its memory by 4 MiB and
leaves it alone; the time is the reclaim job's own, from the command to the guest's STOP. The host
is asked each time whether the memory is gone.
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from linux import huge_pages
from vm import MiB, Vm, guest, wait_until

SECONDS = 300
MODES = ("never", "always")
# What may be left: the rings and their neighbours, mapped by a huge page.
LEFT_BYTES = 8 * MiB


def ebb(mib, mode, clear):
    """A run on a new VM, ms."""
    with Vm("-k", guest("hint"), "-p", f"take=0 blocks={mib // 4} clear={clear}",
            "-m", f"{mib + 128}M", f"--huge={mode}", "--debug-exit") as vm:
        vm.expect(r"^ready\r\n", SECONDS)
        before = vm.resident("ebb-boot")
        vm.qmp.command("__org.ebb_reclaim", timeout=SECONDS)
        run = wait_until(lambda: (r := vm.qmp.command("__org.ebb_query-reclaim"))["state"] !=
                         "running" and r, SECONDS, "the end of the reclaim")
        gone = before - vm.resident("ebb-boot")
        assert run["state"] == "done" and run["freed"] == run["hinted"] == mib * MiB, run
        assert gone >= mib * MiB - LEFT_BYTES, f"{gone >> 20} MiB gone, {run}"
        return run["elapsed-ms"]


def main():
    job = json.loads(sys.argv[1])
    result = {who: {mode: {clear: [] for clear in ("0", "1")} for mode in MODES}
              for who in ("ebb", "protect")}
    with huge_pages("never"):
        for _ in range(job["rounds"]):
            for mode in MODES:
                for clear in ("0", "1"):
                    result["ebb"][mode][clear].append(ebb(job["mib"], mode, clear))
            done = subprocess.run([job["protect"], "1"], check=True, stdout=subprocess.PIPE,
                                  text=True)
            for i, ns in enumerate(map(int, done.stdout.split())):
                result["protect"][MODES[i // 2]][str(i % 2)].append(ns / 1e6)
    print(json.dumps(result))


main()
