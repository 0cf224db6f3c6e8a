# SPDX-License-Identifier: Apache-2.0
"""discard: time inside ram_discard() for a run of 64 blocks of 2 MiB that the guest has used.

discard.c runs the product's own code and, alternating with it, bare fallocate(PUNCH_HOLE) calls on
a memfd of the same kind, one process, no VM. Bare is measured in two ways, one call for the run and
one for each block; the better of the two is the peer. Once with 4 KiB pages, once with 2 MiB pages.
"""
import subprocess

from bench import RUNS, Row, Skip, helper, log, machine_load, median, say, spread

EXIT_SKIP = 77


def measure(pages):
    """Rounds of (ebb, bare run, bare blocks) in ns."""
    done = subprocess.run([helper("discard"), str(max(RUNS, 20)), pages], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode == EXIT_SKIP:
        raise Skip(f"{done.stderr.strip()} (huge pages of a memfd without host settings need "
                   "Linux 6.1)")
    if done.returncode:
        raise RuntimeError(f"discard {pages}: {done.stderr}")
    return [list(map(int, line.split())) for line in done.stdout.splitlines()]


def rows():
    for pages, (title, _unit) in zip(("4k", "2M"), ROWS):
        say(f"discard: {max(RUNS, 20)} rounds of 64 blocks, {pages} pages")
        ebb, run, blocks = zip(*measure(pages))
        for name, values in (("ebb", ebb), ("one fallocate", run), ("fallocate a block", blocks)):
            log(f"discard: {pages}: {name}: us {spread(values, 1e-3)}; {machine_load()}")
        name, peer = min(("one fallocate a run", median(run)),
                         ("one fallocate a block", median(blocks)), key=lambda pair: pair[1])
        yield Row(title, "us", median(ebb) / 1e3, peer / 1e3, name, 1.05,
                  why=f"One call for the run: {median(ebb) / median(run):.2f}x; one for each "
                      f"block: {median(ebb) / median(blocks):.2f}x.")


ROWS = [("discard of 64 blocks, 4 KiB pages", "us"), ("discard of 64 blocks, 2 MiB pages", "us")]
