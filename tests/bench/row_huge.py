# SPDX-License-Identifier: Apache-2.0
"""huge: 1 GiB of elastic memory is taken (plugged and touched) and released, with huge pages of
Ebb's own making (--huge=always) against 4 KiB pages (--huge=never) and against the huge pages that
the kernel makes at the first touch where shmem_enabled=advise. See huge.c.
"""
import subprocess

from bench import RUNS, Row, Skip, helper, log, machine_load, median, say, skipped, spread

EXIT_SKIP = 77
COLUMNS = ("take, always", "release, always", "take, never", "release, never", "take, advise",
           "release, advise")
# Of each row: what, against which columns, the peer's name, the goal.
PAIRS = [("take", "never", "ebb --huge=never", 0.5), ("release", "never", "ebb --huge=never", 0.1),
         ("take", "advise", "huge at first touch", 3),
         ("release", "advise", "huge at first touch", 3)]


def rows():
    rounds = min(RUNS, 10)
    say(f"huge: {rounds} rounds of 1 GiB")
    done = subprocess.run([helper("huge"), str(rounds)], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode == EXIT_SKIP:
        raise Skip(f"{done.stderr.strip()} (huge pages without host settings need Linux 6.1)")
    if done.returncode:
        raise RuntimeError(f"huge: {done.stderr}")
    ms = {name: [int(ns) / 1e6 for ns in column] for name, column in
          zip(COLUMNS, zip(*(line.split() for line in done.stdout.splitlines())))}
    for name, values in ms.items():
        log(f"huge: {name}: ms {spread(values)}; {machine_load()}")
    for (title, unit), (what, peer, name, goal) in zip(ROWS, PAIRS):
        ours, theirs = median(ms[f"{what}, always"]), median(ms[f"{what}, {peer}"])
        if theirs:
            yield Row(title, unit, ours, theirs, name, goal)
        else:
            say("huge: no tmpfs of our own here (root may mount one)")
            yield skipped(title, unit, goal)


ROWS = [(f"{what} 1 GiB, --huge=always ({peer})", "ms") for what, peer, *_ in PAIRS]
