# SPDX-License-Identifier: Apache-2.0
"""The part of row_backing.py that runs where KVM is real: starts a VM for each way, runs their
rounds in turn, and prints what the guests timed, in ns, as JSON: {way: [{populate, plug, release},
...]}, plug being a part of populate; and in bytes what was left when released, and what was mapped
by huge pages when populated.

argv: a JSON object {bytes, rounds, ways: {name: {ebb: mode} or {qemu: [words], memory: object},
with shmem: the host's shmem_enabled during its turns (never), rounds: fewer than the others}}.
@tmpfs in a memory object is a tmpfs with huge pages.
"""
import contextlib
import json
import mmap
import os
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from linux import huge_pages
from vm import EBB, KiB, MiB, Vm, guest

NR_HUGETLB = "/proc/sys/vm/nr_hugepages"
HUGETLB_BYTES = 2 * MiB
MADV_POPULATE_WRITE = 23
HUGE = re.compile(r"(?m)^(?:AnonHugePages|ShmemPmdMapped|(?:Shared|Private)_Hugetlb): +(\d+) kB")
SECONDS = 120
# What may be left of 1 GiB that was released: what Ebb's guard holds at most.
LEFT_BYTES = MiB


def argv(way, size, folder):
    mib = f"{size // MiB}M"
    common = ["-k" if "ebb" in way else "-kernel", guest("backing"),
              "-p" if "ebb" in way else "-append", "wait=1 rounds=1000"]
    if "ebb" in way:
        return [EBB, "run", "-m", "64M", "-e", f"{mib},requested={mib}", f"--huge={way['ebb']}",
                "--debug-exit", *common]
    return [*way["qemu"], "-M", "q35,accel=kvm", "-cpu", "host", "-nodefaults", "-no-user-config",
            "-display", "none", "-m", "64M,slots=1,maxmem=8G",
            "-object", f"{way['memory']},id=m,size={mib}".replace("@tmpfs", folder),
            "-device", f"virtio-mem-pci,id=mem0,memdev=m,requested-size={mib},block-size=2M",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-serial", "stdio", *common]


class Guest(Vm):
    """One VM with guests/backing.c; stopped (SIGSTOP) but for its turns."""

    def __init__(self, way, size, folder):  # pylint: disable=super-init-not-called
        self.size, self.round = size, 0
        self.folder = tempfile.mkdtemp(prefix="ebb-bench-")
        self.process = subprocess.Popen(argv(way, size, folder), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, "EBB_RUN_DIR": self.folder})
        self.pid = self.process.pid
        self.output = self.errors = b""
        self._qmp, self.seen = None, 0
        for stream in (self.process.stdout, self.process.stderr):
            os.set_blocking(stream.fileno(), False)
        self.expect(r"^step start\r\n", SECONDS)
        self.signal(signal.SIGSTOP)

    def end(self):
        self.process.kill()

    def region(self):
        """Bytes of host memory behind the region."""
        for memfd in ("ebb-mem0", "memory-backend-memfd"):
            with contextlib.suppress(AssertionError):
                return self.resident(memfd)
        with open(f"/proc/{self.pid}/smaps", encoding="ascii") as f:
            for mapping in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", f.read()):
                if re.search(rf"\nSize: +{self.size // KiB} kB", mapping):
                    return int(re.search(r"\nRss: +(\d+) kB", mapping).group(1)) * KiB
        raise AssertionError("no mapping of the region's size")

    def huge(self):
        """Bytes of the process's memory that are mapped by huge pages."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as f:
            return sum(int(n) for n in HUGE.findall(f.read())) * KiB

    def turn(self):
        """One round; what the guest timed."""
        self.round += 1
        self.signal(signal.SIGCONT)
        self.send("g")
        self.expect(rf"^step populated {self.round}\r\n", SECONDS)
        held = self.region()
        assert held == self.size, f"{held} bytes are resident when populated"
        huge = self.huge()
        self.send("g")
        found = self.expect(r"^round \d+ plug (\d+) touch (\d+) release (\d+)\r\n", SECONDS)
        self.expect(rf"^step released {self.round}\r\n", SECONDS)
        left = self.region()
        assert left <= LEFT_BYTES, f"{left} bytes are resident when released"
        self.signal(signal.SIGSTOP)
        plug, touch, release = map(int, found.groups())
        return {"populate": plug + touch, "plug": plug, "release": release, "left": left,
                "huge": huge}


@contextlib.contextmanager
def hugetlb(nr):
    """NR huge pages more while the block runs."""
    def set_pages(count):
        with open(NR_HUGETLB, "w", encoding="ascii") as f:
            f.write(str(count))

    def pages():
        with open(NR_HUGETLB, encoding="ascii") as f:
            return int(f.read())
    before = pages()
    try:
        set_pages(before + nr)
        assert pages() == before + nr, f"this host has only {pages() - before} huge pages to spare"
        yield
    finally:
        set_pages(before)


@contextlib.contextmanager
def tmpfs():
    """One with huge pages, while the block runs."""
    with tempfile.TemporaryDirectory(prefix="ebb-bench-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "huge=always", "bench", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)


def warm_up(size):
    """An emulated machine's own first touch of its memory costs its host, not us."""
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(MADV_POPULATE_WRITE)


def measure(job):
    result = {name: [] for name in job["ways"]}
    with contextlib.ExitStack() as stack:
        stack.enter_context(huge_pages("never"))
        stack.enter_context(hugetlb(job["bytes"] // HUGETLB_BYTES))
        warm_up(2 * job["bytes"])
        folder = stack.enter_context(tmpfs())
        vms = {name: stack.enter_context(Guest(way, job["bytes"], folder))
               for name, way in job["ways"].items()}
        names = list(vms)
        for i in range(-1, job["rounds"]):  # the first round warms up
            for name in names[i % len(names):] + names[:i % len(names)]:
                way = job["ways"][name]
                if i >= way.get("rounds", job["rounds"]) or (i < 0 and "rounds" in way):
                    continue
                with huge_pages(way.get("shmem", "never")):
                    one = vms[name].turn()
                print(f"bench: backing: {name}: {i + 1} of {job['rounds']}: {one}",
                      file=sys.stderr, flush=True)
                if i >= 0:
                    result[name].append(one)
    return result


def main():
    print(json.dumps(measure(json.loads(sys.argv[1]))))


main()
