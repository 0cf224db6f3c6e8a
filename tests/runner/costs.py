# SPDX-License-Identifier: Apache-2.0
"""What each test costs, in million instructions of the nested machine: the same on a fast and on a
slow host, idle or loaded (two runs of a boot differ by 0.1 %). tests/costs.txt has what was measured;
a test that takes much more is too expensive, and fails."""
import struct

PATH = "tests/costs.txt"
HEAD = """# Million instructions of the nested machine for each test: `tests/run --record` writes this.
# A test may take FACTOR times as many, and SLACK more (tests/runner/costs.py).
"""
FACTOR = 4
SLACK = 4000
# Of a test that nobody has measured.
UNKNOWN = 1500


class Costs:
    def __init__(self):
        self.known, self.new = {}, {}
        try:
            with open(PATH, encoding="ascii") as f:
                for line in f:
                    if not line.startswith("#"):
                        suite, program, test, cost = line.split()
                        self.known[suite, program, test] = int(cost)
        except FileNotFoundError:
            pass

    def of(self, suite, program, test):
        return self.known.get((suite, program, test), UNKNOWN)

    def take(self, suite, program, test, cost):
        """Why the cost is too high, or None."""
        self.new[suite, program, test] = cost
        known = self.known.get((suite, program, test))
        if known is None or cost <= FACTOR * known + SLACK:
            return None
        return (f"took {cost:,} M instructions, {known:,} when it was measured; cut it, or "
                f"tests/run --record")

    def record(self):
        """Those just measured, and the others as they were."""
        rows = sorted({**self.known, **self.new}.items())
        with open(PATH, "w", encoding="ascii") as f:
            f.write(HEAD)
            for (suite, program, test), cost in rows:
                f.write(f"{suite} {program} {test} {cost}\n")


class Counter:
    """The count that `rig --count` keeps in a file; None while there is none."""

    def __init__(self, path):
        self.path, self.last = path, 0

    def total(self):
        try:
            with open(self.path, "rb") as f:
                return struct.unpack("<Q", f.read(8))[0] // 1000000
        except (OSError, struct.error):
            return 0

    def step(self):
        """Since the step before."""
        now = self.total()
        cost, self.last = now - self.last, now
        return max(cost, 0)
