# SPDX-License-Identifier: Apache-2.0
"""How slow this machine is, as it is loaded now, beside the one that limits were thought of on."""
import os
import re
import subprocess
import sys

# A loop of a million rounds takes an interpreter so long there: in the nested machine, and directly.
REFERENCE_NESTED_S = 0.45
REFERENCE_S = 0.025
LOOP = """
import time
best = 1e9
for _ in range(5):
    start = time.monotonic()
    for _ in range(100000):
        pass
    best = min(best, time.monotonic() - start)
print("loop", best * 10)
"""


def seconds(*before):
    done = subprocess.run([*before, "/usr/bin/python3", "-c", LOOP], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=False)
    found = re.search(r"^loop ([0-9.]+)", done.stdout, re.MULTILINE)
    return float(found.group(1)) if found else None


def slowness(nested):
    """At least 1. EBB_TEST_SLOW says it, or it is measured: in the nested machine when one is used,
    whose kernels and snapshot are made then, too."""
    asked = os.environ.get("EBB_TEST_SLOW")
    if asked:
        return max(1.0, float(asked))
    took = seconds("tests/rig/rig", "--") if nested else seconds()
    if took is None:
        print("run: the speed can't be measured; who fails says why below", file=sys.stderr)
        return 1.0
    return max(1.0, took / (REFERENCE_NESTED_S if nested else REFERENCE_S))
