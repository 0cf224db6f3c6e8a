# SPDX-License-Identifier: Apache-2.0
"""lawful: what the guard costs memory that the guest has, at rest and while it attacks the rest.

lawful.c runs the product's own code, one process, no VM; threads play the vCPUs. Every second block
of a region is plugged. The first touch of a page is compared with a region that has no guard, work
in lawful memory with the same work while another thread uses the blocks between as fast as it can.
"""
import os
import subprocess

from bench import RUNS, Row, Skip, helper, log, machine_load, median, say, spread

COLUMNS = ("touch, guard", "touch, none", "alone", "beside", "guard's CPU", "events")


def rows():
    say(f"lawful: {RUNS} rounds")
    done = subprocess.run([helper("lawful"), str(RUNS)], check=True, text=True,
                          stdout=subprocess.PIPE)
    columns = dict(zip(COLUMNS, zip(*(map(int, line.split())
                                      for line in done.stdout.splitlines()))))
    for name, unit, scale in zip(COLUMNS, ("ns", "ns", "ns", "ns", "%", "/s"),
                                 (1, 1, 1e-3, 1e-3, 0.1, 1)):
        log(f"lawful: {name}: {unit} {spread(columns[name], scale)}; {machine_load()}")
    middle = {name: median(values) for name, values in columns.items()}
    yield Row(ROWS[0][0], "ns", middle["touch, guard"], middle["touch, none"], "ebb --guard=off",
              1.03, why="The kernel does the same for both: this is noise.")
    if os.cpu_count() < 2:
        raise Skip("one processor: an attack and lawful work can't run side by side")
    # At least 0.9 of the throughput.
    yield Row(ROWS[1][0], "ns", middle["beside"] / 1e3, middle["alone"] / 1e3, "nobody attacks",
              1 / 0.9, why="Each violation takes a chunk from another one, and the kernel then stops "
                           "every thread of the process for a moment (TLB shootdown).")
    yield Row(ROWS[2][0], "%", middle["guard's CPU"] / 10, None, "of one processor", 100,
              absolute=True)
    yield Row(ROWS[3][0], "1/s", middle["events"], None, None)


ROWS = [("first touch of lawful memory, 4 KiB", "ns"), ("lawful work beside an attack", "ns"),
        ("CPU of the guard under attack", "%"), ("violations answered meanwhile", "1/s")]
