# SPDX-License-Identifier: Apache-2.0
"""guard: what keeping guests out of unplugged memory costs.

guard.c runs the product's own code, one process, no VM, and alternating with it the least that a
kernel call or a handler could do. A violation's cost is the difference: both sides pay for the
kernel's fault and for two thread switches, which here are most of it.
"""
import subprocess

from bench import RUNS, Row, Skip, helper, log, machine_load, median, say, spread

EXIT_SKIP = 77
COLUMNS = ("unplug", "bare punch", "plug", "read", "bare read", "write", "bare write")


def rows():
    rounds = max(RUNS, 20)
    say(f"guard: {rounds} rounds")
    done = subprocess.run([helper("guard"), str(rounds)], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode == EXIT_SKIP:
        raise Skip(done.stderr.strip())
    if done.returncode:
        raise RuntimeError(f"guard: {done.stderr}")
    columns = dict(zip(COLUMNS, zip(*(map(int, line.split())
                                      for line in done.stdout.splitlines()))))
    for name, values in columns.items():
        log(f"guard: {name}: us {spread(values, 1e-3)}; {machine_load()}")
    us = {name: median(values) / 1e3 for name, values in columns.items()}
    yield Row(ROWS[0][0], "us", us["unplug"], us["bare punch"], "one fallocate", 2,
              why="Arming is two calls, UFFDIO_REGISTER and MADV_NOHUGEPAGE, each of which splits "
                  "the mapping.")
    yield Row(ROWS[1][0], "us", us["plug"], us["bare punch"], "one fallocate")
    for (title, unit), kind in zip(ROWS[2:], ("read", "write")):
        yield Row(title, unit, us[kind] - us["bare " + kind], us["bare " + kind],
                  "all of it, bare handler", 10, absolute=True)


ROWS = [("unplug of one huge block, armed", "us"), ("plug of one block", "us"),
        ("violating read, our own part", "us"), ("violating write, our own part", "us")]
