# SPDX-License-Identifier: Apache-2.0
"""Disks of bare-metal guests, looked at from the host: the file is what was written."""
import contextlib
import os
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import MiB, Vm, ebb, guest, scratch, wait_until  # pylint: disable=wrong-import-position

SECTOR = 512


@contextlib.contextmanager
def image(size=16 * MiB):
    with scratch() as folder:
        path = os.path.join(folder, "disk.img")
        with open(path, "wb") as f:
            f.truncate(size)
        yield path


def disk_vm(path, mode, *more, words="", memory="64M"):
    return Vm("-k", guest("disk"), "-m", memory, "--debug-exit", "--disk", path,
              "-p", f"mode={mode} {words}", *more)


def crc(path):
    with open(path, "rb") as f:
        return f"{zlib.crc32(f.read()):x}"


def allocated(path):
    os.sync()
    return os.stat(path).st_blocks * 512


@test
def random_requests_read_and_leave_what_was_written():
    for depth, seed in ((1, 1), (8, 2), (64, 3)):
        with image() as path, disk_vm(path, "random", words=f"depth={depth} seed={seed} "
                                      f"rounds={600 * (1 + (depth > 1))}") as vm:
            found = vm.expect(r"^crc (\w+)\r\n")
            vm.expect("^PASS ")
            assert vm.wait() == 0
            assert crc(path) == found.group(1).decode()
            assert os.stat(path).st_size == 16 * MiB


@test
def disks_are_there_in_their_order_and_apart():
    with image(MiB) as first, image(2 * MiB) as second:
        with disk_vm(first, "random", "--disk", second, words="disk=1 rounds=100") as vm:
            vm.expect(rf"^disk {2 * MiB // SECTOR}\r\n")
            assert [d["device"] for d in vm.qmp.command("query-block")] == ["disk0", "disk1"]
            found = vm.expect(r"^crc (\w+)\r\n")
            assert vm.wait() == 0
        assert crc(second) == found.group(1).decode()
        assert allocated(first) == 0


@test
def unplugged_memory_serves_no_disk_and_memory_in_use_is_not_unplugged():
    with image() as path, disk_vm(path, "memory", "-e", "256M,requested=128M,block=32M",
                                  words="wait=1") as vm:
        vm.expect(r"^step refused\r\n")
        assert vm.resident() == 0
        assert allocated(path) == 0
        vm.send("g")
        vm.expect(r"^step end\r\n", 60)
        assert vm.resident() == 0
        assert b"BUSY: a device's request is under way" in vm.errors
        vm.send("g")
        vm.expect("^PASS ")
        assert vm.wait() == 0


@test
def read_only_disk_is_read_by_several_and_never_written():
    with image(MiB) as path:
        with open(path, "r+b") as f:
            f.write(b"hello")
        with disk_vm(path + ",readonly,serial=abc-1", "readonly", words="wait=1") as vm:
            vm.expect(r"^step end\r\n")
            with disk_vm(path + ",readonly", "readonly") as other:
                other.expect(r"^reads hello\r\n")
                assert other.wait() == 0
            refused = ebb("run", "-k", guest("disk"), "--disk", path)
            assert refused.returncode == 35
            assert f"in use by process {vm.pid} (ebb)".encode() in refused.stderr, refused.stderr
            assert b"reads hello" in vm.output and b"serial abc-1" in vm.output
            vm.send("g")
            assert vm.wait() == 0
        with open(path, "rb") as f:
            assert f.read() == b"hello" + bytes(MiB - 5)


@test
def discard_frees_blocks_of_the_file_and_a_grown_disk_is_seen():
    size = 16 * MiB
    with image(size) as path, disk_vm(path, "discard", words="wait=1 grows=1") as vm:
        vm.expect(r"^step full\r\n")
        assert allocated(path) >= size
        vm.send("g")
        vm.expect(r"^step half\r\n")
        assert allocated(path) <= size // 2 + 64 * 1024, allocated(path)
        vm.send("g")
        vm.expect(r"^step checked\r\n")
        for wrong, what in ((size - SECTOR, "can't shrink"), (size + 1, "multiple of 512")):
            reply = vm.qmp.raw("block_resize", device="disk0", size=wrong)
            assert what in reply["error"]["desc"], reply
        reply = vm.qmp.raw("block_resize", device="disk7", size=size)
        assert reply["error"]["class"] == "DeviceNotFound", reply
        vm.qmp.command("block_resize", device="disk0", size=2 * size)
        assert os.stat(path).st_size == 2 * size
        assert vm.qmp.command("query-block")[0]["inserted"]["image"]["virtual-size"] == 2 * size
        vm.send("g")
        vm.expect(rf"^sectors {2 * size // SECTOR}\r\n")
        vm.expect(r"^step end\r\n")
        stats = vm.qmp.command("query-blockstats")[0]["stats"]
        assert stats["wr_bytes"] == size + SECTOR and stats["flush_operations"] == 1, stats
        assert stats["in_flight"] == 0 and stats["failed_operations"] == 0, stats
        vm.send("g")
        assert vm.wait() == 0


@test
def a_vm_killed_while_it_writes_has_kept_what_was_flushed():
    with image() as path, disk_vm(path, "kill") as vm:
        vm.expect(r"^stable 320\r\n", 60)
        vm.process.kill()
        vm.wait()
        stable = int(vm.output[:vm.output.rindex(b"\r\n")].split()[-1])
        assert stable >= 320
        with open(path, "rb") as f:
            for number in range(min(stable, 16 * MiB // SECTOR)):
                f.seek(number * SECTOR)
                assert f.read(8) == (number + 1).to_bytes(8, "little"), number
        # Its lock has gone with it.
        with disk_vm(path, "readonly") as other:
            other.expect("FAIL .*VIRTIO_BLK_F_RO")
            assert other.wait() != 0


@test
def a_paused_vm_writes_nothing():
    def stats():
        return vm.qmp.command("query-blockstats")[0]["stats"]

    with image() as path, Vm("-k", guest("diskspeed"), "-m", "64M", "--disk", path, "-p",
                             "reads=1000000 bytes=65536 write=1") as vm:
        vm.expect(r"^ready\r\n")
        vm.send("n")  # 32 writes are always under way
        busy = 0
        for _ in range(10):
            last = stats()
            wait_until(lambda s=last: stats()["wr_operations"] > s["wr_operations"], 20, "writes")
            busy += stats()["in_flight"] > 0
            vm.qmp.command("stop")
            before = stats(), crc(path)
            time.sleep(0.05)
            assert before == (stats(), crc(path))
            assert before[0]["in_flight"] == 0, before[0]
            vm.qmp.command("cont")
        assert busy


@test
def what_is_no_disk_is_refused_before_the_guest_starts():
    with image(MiB) as path:
        folder = os.path.dirname(path)
        odd = os.path.join(folder, "odd.img")
        with open(odd, "wb") as f:
            f.truncate(MiB + 7)
        for argument, what in ((folder, "a directory"), (odd, "truncate -s %512"),
                               (folder + "/none", "no such file"), ("/dev/null", "neither a file"),
                               (path + ",ro", "unknown word 'ro'"),
                               (path + ",serial=" + 21 * "x", "more than 20 bytes")):
            done = ebb("run", "-k", guest("disk"), "--disk", argument)
            assert done.returncode == 35, argument
            assert what.encode() in done.stderr, (argument, done.stderr)
            assert len(done.stderr.splitlines()) == 1, done.stderr


@test
def disks_round_trip_through_a_file():
    with image(MiB) as path:
        words = ["-k", "vmlinux", "--disk", path + ",readonly,serial=a b", "--disk", "b.img"]
        text = ebb("run", *words, "--print-config").stdout
        assert b'"readonly": true' in text.replace(b'":true', b'": true'), text
        file = path + ".json"
        with open(file, "wb") as f:
            f.write(text)
        assert ebb("run", "--config", file, "--print-config").stdout == text


main()
