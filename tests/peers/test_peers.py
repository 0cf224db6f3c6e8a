# SPDX-License-Identifier: Apache-2.0
"""Other people's clients, unchanged, each through a resize up and down while a guest follows."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, skip, test  # pylint: disable=wrong-import-position
from vm import MiB, Qmp, Vm, guest, hang_limit  # pylint: disable=wrong-import-position

HERE = os.path.dirname(os.path.abspath(__file__))


def peer(name):
    """What tests/peers/prepare says about a client; skips where it can't be had."""
    path = os.environ.get(f"EBB_PEER_{name}")
    if not path:
        skip(os.environ.get(f"EBB_PEER_{name}_MISSING", "tests/peers/prepare did not run"))
    return path


def drive(command, steps, check=lambda vm: None, env=None):
    """Runs a client against a VM. It must take STEPS, and a watcher must have seen them happen."""
    with Vm("-k", guest("regrow"), "-p", "touch=0", "-m", "64M", "-e", "512M", "-c", 2) as vm:
        vm.expect("^size 0")
        watcher = Qmp(vm.qmp_path)
        done = subprocess.run([*command, vm.qmp_path, os.path.join(vm.folder, "core")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=hang_limit(250), check=False, env={**os.environ, **(env or {})})
        assert done.returncode == 0, done.stdout
        assert done.stdout.splitlines() == [f"ok {step}" for step in steps], done.stdout
        # The guest says so itself, in this order.
        vm.expect(rf"^size {64 * MiB}\r")
        vm.expect(r"^size 0\r")
        assert vm.resident() == 0
        assert watcher.event("STOP")["data"] == {} and watcher.event("RESUME")["data"] == {}
        assert watcher.event("MEMORY_DEVICE_SIZE_CHANGE")["data"]["id"] == "mem0"
        assert watcher.command("query-status")["status"] == "running"
        check(vm)
        watcher.close()


@test
def go_qemu():
    drive([peer("GO_QEMU")],
          ["version", "commands", "two CPUs", "running", "paused", "running again",
           f"resize to {64 * MiB}", "summary", "human monitor", "qom-list",
           "no driver, so nothing is ballooned",
           "a target between two blocks is refused", "resize to 0", "closed"])


@test
def govmm_of_kata():
    def check(vm):
        with open(os.path.join(vm.folder, "core"), "rb") as f:
            assert f.read(6) == b"\x7fELF\2\1"
        # Boot memory, what was plugged, and the head.
        assert 128 * MiB < os.path.getsize(os.path.join(vm.folder, "core")) < 129 * MiB
    drive([peer("GOVMM")],
          ["version", "running", "paused", "two CPUs", "query-cpus", "schema",
           f"resize to {64 * MiB}", "memory device", "dump", "a descriptor is used once",
           "resize to 0", "events"], check)


@test
def ganeti_monitor():
    tree = peer("GANETI")
    drive(["/usr/bin/python3", "-B", os.path.join(HERE, "ganeti_monitor.py")],
          ["version", "commands", "running", "paused", "running again", f"resize to {64 * MiB}",
           "a descriptor went there and is closed", "balloon", "no size for the balloon",
           "a command that is not listed", "resize to 0"],
          env={"PYTHONPATH": f"{tree}/usr/share/ganeti/3.0:{tree}/usr/lib/python3/dist-packages"})


main()
