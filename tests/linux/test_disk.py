# SPDX-License-Identifier: Apache-2.0
"""A stock kernel with its root file system on a disk: it boots, what it wrote survives reboots and a
SIGKILL of the VM."""
import contextlib
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from linux import ROOT, ROOT_INITRD, LinuxVm  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from vm import MiB, scratch  # pylint: disable=wrong-import-position


@contextlib.contextmanager
def image():
    """A copy of the image, as sparse as it is."""
    with scratch() as folder:
        path = os.path.join(folder, "root.img")
        subprocess.run(["cp", "--sparse=always", ROOT, path], check=True)
        yield path


@contextlib.contextmanager
def second(path):
    with open(path, "wb") as f:
        f.truncate(64 * MiB)
    yield path


def root_vm(path, *more):
    return LinuxVm("-m", "256M", "--balloon=off", "--disk", path, *more, initrd=ROOT_INITRD,
                   params="root=/dev/vda rw")


def shell(vm):
    vm.expect(r"^# ", 120)
    vm.sh("stty -echo")
    return vm


def fsck(path, *options):
    done = subprocess.run(["/usr/sbin/e2fsck", "-f", *options, path], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode(errors="replace")


def power_off(vm):
    vm.send("poweroff\n")
    assert vm.wait(60) == 0, vm.tail()


@test
def a_root_file_system_keeps_what_is_written_over_a_reboot():
    with image() as path, root_vm(path) as vm:
        shell(vm)
        assert "/dev/root / ext4 rw" in vm.sh("cat /proc/mounts").replace("vda", "root")
        assert vm.sh("cat /sys/block/vda/size") == str(512 * MiB // 512)
        # Nothing that compresses: each page of it is the disk's own.
        vm.make_file("/data", 64)
        vm.sh("sync", 120)
        assert vm.sh("stat -c %s /data") == str(64 * MiB)
        before = vm.sh("md5sum /data", 60)
        vm.send("reboot\n")
        vm.expect("Restarting system", 60)
        shell(vm)
        assert vm.sh("md5sum /data", 60) == before
        power_off(vm)
        code, text = fsck(path, "-n")
        assert code == 0, text


@test
def a_vm_that_is_killed_while_it_writes_leaves_what_was_synced():
    with image() as path:
        with root_vm(path) as vm:
            shell(vm)
            vm.make_file("/kept", 16)
            vm.sh("sync", 60)
            before = vm.sh("md5sum < /kept")
            vm.send("while :; do dd if=/dev/zero of=/lost bs=1M count=32; mkdir -p /d/$((i += 1)); "
                    "echo $i > /d/$i/f; echo loop $i; done 2> /dev/null\n")
            vm.expect(r"^loop 2")
            time.sleep(0.3)
            vm.process.kill()
            vm.wait()
        code, text = fsck(path, "-y")
        assert code in (0, 1), (code, text)  # 1: repaired
        with root_vm(path) as vm:
            shell(vm)
            assert vm.sh("md5sum < /kept") == before
            power_off(vm)
        code, text = fsck(path, "-n")
        assert code == 0, text


@test
def a_disk_that_grows_is_seen_and_trim_frees_the_file():
    with image() as path, second(path + ".2") as other, root_vm(path, "--disk", other) as vm:
        shell(vm)
        vm.qmp.command("block_resize", device="disk1", size=96 * MiB)
        vm.sh("until [ $(cat /sys/block/vdb/size) = 196608 ]; do :; done", 30)
        vm.sh("mkdir -p /mnt/b && mke2fs -q /dev/vdb 2> /dev/null || mkfs.ext2 /dev/vdb > /dev/null")
        vm.sh("mount -t ext4 /dev/vdb /mnt/b")
        vm.make_file("/mnt/b/f", 32)
        vm.sh("sync", 60)
        full = os.stat(other).st_blocks
        assert full * 512 >= 32 * MiB
        vm.sh("rm /mnt/b/f && sync && fstrim /mnt/b", 60)
        assert os.stat(other).st_blocks <= full - 30 * MiB // 512
        assert vm.qmp.command("query-blockstats")[1]["stats"]["failed_operations"] == 0
        power_off(vm)


main()
