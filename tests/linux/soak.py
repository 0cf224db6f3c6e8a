# SPDX-License-Identifier: Apache-2.0
"""A stock kernel under random resizes, cancels, pauses and reboots, for SOAK_SECONDS (default 300).

After every step: the file in the guest's tmpfs still has its checksum, and the host holds no more
than what is plugged. The seed is printed; SOAK_SEED repeats a run's choices.
"""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from linux import LinuxVm, huge_pages  # pylint: disable=wrong-import-position
from vm import GiB, MiB, wait_until  # pylint: disable=wrong-import-position

SECONDS = float(os.environ.get("SOAK_SECONDS", "300"))
SEED = int(os.environ.get("SOAK_SEED", str(int(time.time()))))


class Soak:
    def __init__(self, vm):
        self.vm = vm
        self.random = random.Random(SEED)
        self.steps = {}
        self.sum = None

    def make_file(self):
        self.vm.sh("head -c 33554432 /dev/urandom > /dev/shm/file", 120)
        self.sum = self.vm.sh("md5sum < /dev/shm/file", 120)

    def size(self):
        return self.random.randrange(0, 2 * GiB // (2 * MiB)) * 2 * MiB

    def resize(self):
        # Linux moves whole memory blocks, or parts of one it has: nearly every size is reached.
        job = self.vm.resize_wait(self.size(), 120, timeout=60)
        assert job["state"] in ("done", "short"), job

    def cancel(self):
        self.vm.resize(self.size())
        time.sleep(self.random.random())
        reply = self.vm.qmp.raw("__org.ebb_cancel-resize")
        assert "return" in reply or "no resize is running" in str(reply), reply

    def replace(self):
        for _ in range(self.random.randrange(2, 6)):
            self.vm.resize(self.size())
            time.sleep(self.random.random() / 4)
        job = self.vm.resize_wait(self.size(), 120, timeout=60)
        assert job["state"] in ("done", "short"), job

    def pause(self):
        self.vm.resize(self.size())
        self.vm.qmp.command("stop")
        time.sleep(self.random.random())
        self.vm.qmp.command("cont")

    def touch(self):
        self.vm.sh("dd if=/dev/zero of=/dev/shm/more bs=1M count=64 2>/dev/null; "
                   "rm -f /dev/shm/more", 120)

    def reboot(self):
        if self.random.random() < 0.5:
            self.vm.send("reboot -f\n")
        else:
            self.vm.qmp.command("system_reset")
        self.vm.ready()
        self.make_file()

    def settled(self):
        """No request under way: the plugged size stays the same for a moment."""
        before = self.vm.qmp.command("query-memory-devices")[0]["data"]["size"]
        time.sleep(0.3)
        return self.vm.qmp.command("query-memory-devices")[0]["data"]["size"] == before

    def check(self):
        assert self.vm.sh("md5sum < /dev/shm/file", 120) == self.sum
        wait_until(self.settled, 60, "a plugged size that stays")
        plugged = self.vm.qmp.command("query-memory-devices")[0]["data"]["size"]
        resident = self.vm.resident("ebb-mem0")
        assert resident <= plugged + 2 * MiB, (resident, plugged)

    def run(self):
        end = time.monotonic() + SECONDS
        choices = [self.resize] * 5 + [self.cancel, self.replace, self.pause, self.touch, self.reboot]
        self.make_file()
        while time.monotonic() < end:
            step = self.random.choice(choices)
            step()
            self.check()
            self.steps[step.__name__] = self.steps.get(step.__name__, 0) + 1
            print(f"soak: {step.__name__}, {max(0, end - time.monotonic()):.0f} s left", flush=True)


def main():
    print(f"soak: SOAK_SEED={SEED}", flush=True)
    with huge_pages(), LinuxVm("-m", "512M", "-c", 2, "--elastic", "2G") as vm:
        vm.ready()
        soak = Soak(vm)
        soak.run()
        vm.resize_wait(0, 120)
        assert vm.resident("ebb-mem0") == 0
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()
        print(f"soak: passed: {soak.steps}")


if __name__ == "__main__":
    main()
