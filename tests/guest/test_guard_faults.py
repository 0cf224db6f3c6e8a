# SPDX-License-Identifier: Apache-2.0
"""A host that fails the guard: the VM pauses and says why; it never runs on unguarded."""
import ctypes
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import ROOT, MiB, Vm, ebb, guest, wait_until  # pylint: disable=wrong-import-position

PRELOAD = f"{ROOT}/build/{os.uname().machine}-cc/tests/preload/uffd_fails.so"
ENOMEM, EPERM = 12, 1
ACK, BUSY = 0, 2
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


class FailingHost:
    """userfaultfd that fails while told to."""

    def __init__(self):
        self.path = f"/tmp/ebb-uffd-fails-{os.getpid()}"
        self.clear()
        sanitizer = os.environ.get("ASAN_OPTIONS", "")
        self.env = {"LD_PRELOAD": PRELOAD, "UFFD_FAILS": self.path,
                    "ASAN_OPTIONS": f"{sanitizer}:verify_asan_link_order=0".strip(":")}

    def fail(self, call, error):
        with open(self.path + ".new", "w", encoding="ascii") as f:
            f.write(f"{call} {error}\n")
        os.rename(self.path + ".new", self.path)

    def clear(self):
        if os.path.exists(self.path):
            os.unlink(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clear()


def poke(*arguments, env=None):
    """A guest with one block plugged, ready to touch the next one."""
    vm = Vm("-k", guest("poke"), "-m", "64M", "--debug-exit", "-e", "256M,requested=2M",
            *arguments, env=env)
    try:
        assert vm.qmp.greeting  # connected from here on, so that no event is missed
        vm.expect(r"^ready\r\n", 60)
    except AssertionError:
        vm.clean_up()
        raise
    return vm


def status(vm):
    return vm.qmp.command("query-status")["status"]


def finish(vm):
    vm.send("q")
    vm.expect("^PASS ")
    assert vm.wait() == 0


@test
def without_memory_for_an_answer_the_vm_pauses_and_goes_on_later():
    with FailingHost() as host, poke(env=host.env) as vm:
        host.fail("copy", ENOMEM)
        vm.send("w")
        reason = vm.qmp.event("__org.ebb_GUARD_STOP")["data"]["reason"]
        assert "no memory" in reason, reason
        wait_until(lambda: status(vm) == "paused", 30, "the pause")
        assert vm.qmp.command("__org.ebb_stat")["guard"]["trouble"] == reason
        vm.pump(0.3)
        assert b"wrote" not in vm.output, "the guest ran on"
        assert vm.resident() <= 2 * MiB
        host.clear()
        # The access is answered now, still in the kernel; the guest itself waits for `cont`.
        vm.qmp.command("cont")
        vm.expect(r"^wrote, 1\r\n", 60)
        vm.send("w")
        vm.expect(r"^wrote, 2\r\n", 60)
        assert status(vm) == "running"
        finish(vm)


@test
def a_vm_that_waits_for_the_guard_can_be_ended():
    with FailingHost() as host, poke(env=host.env) as vm:
        host.fail("copy", ENOMEM)
        vm.send("r")
        vm.qmp.event("__org.ebb_GUARD_STOP")
        start = time.monotonic()
        vm.qmp.command("quit")
        assert vm.wait(60) == 0
        print(f"# ended after {time.monotonic() - start:.1f} s")


@test
def unplug_is_busy_when_the_block_cannot_be_armed():
    with FailingHost() as host, poke(env=host.env) as vm:
        host.fail("register", ENOMEM)
        vm.send("u")
        vm.expect(rf"^answer {BUSY}\r\n", 60)
        assert vm.qmp.command("query-memory-devices")[0]["data"]["size"] == 2 * MiB
        host.clear()
        vm.send("u")
        vm.expect(rf"^answer {ACK}\r\n", 60)
        vm.send("p")
        vm.expect(rf"^answer {ACK}\r\n", 60)
        finish(vm)


class Stopped:
    """One thread of another process does not run (ptrace), the others do."""

    def __init__(self, tid):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self.tid = tid
        self.ptrace(PTRACE_SEIZE)
        self.ptrace(PTRACE_INTERRUPT)
        os.waitpid(tid, WALL)

    def ptrace(self, request):
        if self.libc.ptrace(request, self.tid, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")

    def let_go(self):
        self.ptrace(PTRACE_DETACH)


def thread(vm, name):
    for tid in os.listdir(f"/proc/{vm.pid}/task"):
        with open(f"/proc/{vm.pid}/task/{tid}/comm", encoding="ascii") as f:
            if f.read().strip() == name:
                return int(tid)
    raise AssertionError(f"no thread {name}")


@test
def a_guard_that_does_not_run_pauses_the_vm():
    with poke() as vm:
        stopped = Stopped(thread(vm, "guard"))
        vm.send("w")
        reason = vm.qmp.event("__org.ebb_GUARD_STOP")["data"]["reason"]
        assert "does not run" in reason, reason
        assert status(vm) == "paused"
        vm.pump(0.3)
        assert b"wrote" not in vm.output, "the guest ran on"
        stopped.let_go()
        vm.qmp.command("cont")
        vm.expect(r"^wrote, 1\r\n", 60)
        finish(vm)


@test
def without_userfaultfd_the_refusal_names_the_way_out():
    with FailingHost() as host:
        host.fail("new", EPERM)
        done = ebb("run", "-k", guest("poke"), "-m", "64M", "--debug-exit", "-e", "64M",
                   env={**os.environ, **host.env})
        assert done.returncode == 35, done
        assert done.stderr.count(b"\n") == 1 and b"--guard=off" in done.stderr, done.stderr
        assert b"/dev/userfaultfd" in done.stderr, done.stderr
        with poke("--guard=off", env=host.env) as vm:
            assert vm.qmp.command("__org.ebb_stat")["guard"]["on"] is False
            finish(vm)
        # Without elastic memory nothing has to be guarded.
        done = ebb("run", "-k", guest("hello"), "-m", "64M", "--debug-exit",
                   env={**os.environ, **host.env})
        assert done.returncode == 0, done


if __name__ == "__main__":
    main()
