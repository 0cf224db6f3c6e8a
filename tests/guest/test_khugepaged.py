# SPDX-License-Identifier: Apache-2.0
"""Where the host lets shared memory have huge pages, khugepaged fills units of which a part is
there. What a guest gave back page by page is not brought back so. Changes the host's settings: runs
alone."""
import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from linux import huge_pages
from tap import main, skip, test
from vm import SANITIZED, KiB, MiB, Vm, guest, wait_until

KHUGEPAGED = "/sys/kernel/mm/transparent_hugepage/khugepaged"
FAST = {"scan_sleep_millisecs": "1", "alloc_sleep_millisecs": "1", "pages_to_scan": "65536",
        "max_ptes_none": "511"}
PAGE = 4 * KiB
SIZE = r"^size (\d+) target (\d+) "
UNIT_PAGES = 512


@contextlib.contextmanager
def fast_khugepaged():
    """Whoever is scanned is scanned several times a second."""
    before = {}
    try:
        for name, value in FAST.items():
            with open(f"{KHUGEPAGED}/{name}", "r+", encoding="ascii") as f:
                before[name] = f.read()
                f.write(value)
        yield
    finally:
        for name, value in before.items():
            with open(f"{KHUGEPAGED}/{name}", "w", encoding="ascii") as f:
                f.write(value)


def scans():
    with open(f"{KHUGEPAGED}/full_scans", encoding="ascii") as f:
        return int(f.read())


class GuestVm(Vm):
    def __init__(self, mib, *arguments):
        self.bytes = mib * MiB
        super().__init__("-k", guest("balloon"), "-p", "order=random", "-m", f"{mib}M",
                         "--debug-exit", *arguments)
        self.expect(SIZE)

    def held(self):
        return self.resident("ebb-boot")

    def inflate(self, pages):
        self.qmp.command("balloon", value=self.bytes - pages * PAGE)
        assert int(self.expect(SIZE, 60).group(1)) == pages


@test
def khugepaged_brings_nothing_back_that_was_ballooned():
    if SANITIZED:
        skip("khugepaged does not get round a sanitizer's shadow in time")
    try:
        with huge_pages("advise"), fast_khugepaged(), GuestVm(64, "--huge=auto") as vm:
            full = vm.held()
            pages = 8192  # of 16384, in random order: of each unit a part
            vm.inflate(pages)
            want = full - pages * PAGE
            wait_until(lambda: vm.held() <= want + 64 * KiB, 5, "the host has them")
            before = scans()
            wait_until(lambda: scans() >= before + 4, 30, "khugepaged has looked")
            assert vm.held() <= want + 64 * KiB, f"{vm.held() >> 10} KiB, not {want >> 10}"
            # The guest has it again, and it may be huge again.
            vm.inflate(0)
            vm.send("c")
            vm.expect(r"^intact (\d+)\r\n", 60)
            wait_until(lambda: vm.mapped_huge("ebb-boot") >= 32 * MiB, 30, "huge pages")
            vm.send("q")
            vm.expect("^PASS ", 60)
            assert vm.wait() == 0
    except PermissionError as e:
        skip(str(e))


main()
