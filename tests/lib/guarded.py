# SPDX-License-Identifier: Apache-2.0
"""A bare-metal guest that uses memory it does not have, step by step; what the host has lost."""
import os
import threading

from vm import KiB, MiB, Vm, guest

# The guard's promises, as guard.h has them.
HELD = 1 * MiB
CHUNK = 64 * KiB
TABLES = 256 * 4 * KiB
PAGE = 4 * KiB
# Page tables that have nothing to do with violations.
TABLES_SLACK = 128 * KiB
# There an event costs 250 us.
NESTED = os.environ.get("EBB_RIG_L1") == "1"


class GuestVm(Vm):
    """The guest NAME, with one elastic region per size, all of it requested. It waits after each
    step for go()."""

    def __init__(self, name, *arguments, elastic=("256M",), params="", env=None):
        for size in elastic:
            arguments += ("-e", f"{size},requested={size.split(',')[0]}")
        super().__init__("-k", guest(name), "-m", "64M", "--debug-exit", "-p", f"wait=1 {params}",
                         *arguments, env=env)

    def step(self, name, seconds=150):
        """Waits for a step of the guest; the numbers it tells."""
        found = self.expect(rf"^step {name}((?: \d+)*)\r\n", seconds)
        return [int(number) for number in found.group(1).split()]

    def go(self):
        self.send("g")

    def steps(self, *names):
        """Lets it go from step to step, to the last of NAMES; the numbers there."""
        numbers = []
        for name in names:
            self.go()
            numbers = self.step(name)
        return numbers

    def passes(self):
        self.go()
        self.expect("^PASS ")
        code = self.wait()
        assert code == 0, code

    def guard(self):
        return self.qmp.command("__org.ebb_query-guard")

    def counts(self, device=0):
        return self.guard()["regions"][device]

    def maps(self):
        with open(f"/proc/{self.pid}/maps", encoding="ascii", errors="replace") as f:
            return f.readlines()


class Peak:
    """While the block runs: the most memory behind a memfd, above what was there at its start."""

    def __init__(self, vm, name="ebb-mem0"):
        self.fd = os.open(vm.memfd(name), os.O_RDONLY)
        self.before, self.most = self.bytes(), 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def bytes(self):
        return os.fstat(self.fd).st_blocks * 512

    def now(self):
        """What is there above the start."""
        return self.bytes() - self.before

    def watch(self):
        while not self.ended.wait(0.005 if NESTED else 0.001):
            self.most = max(self.most, self.now())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        os.close(self.fd)
