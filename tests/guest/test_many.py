# SPDX-License-Identifier: Apache-2.0
"""Many VMs: in one process one after the other, in a hundred processes, and four at once. What each
took, the host has back."""
import contextlib
import os
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import (ebb, guest, MiB, open_files, Qmp, scratch, Vm,
                wait_until)  # pylint: disable=wrong-import-position

# What of a sanitizer's own, or of the C library's, comes with the first few.
WARM_UP = 10
ROUNDS = 100


def taken(vm):
    """What the process holds: descriptors by what they are, threads, mappings but for the heap."""
    folder = f"/proc/{vm.pid}"
    # A socket's number is another one each time.
    fds = sorted(re.sub(r"\[\d+\]", "", target) for _, target in open_files(vm.pid))
    with open(f"{folder}/maps", encoding="ascii") as f:
        maps = sorted(" ".join(line.split()[5:]) for line in f if len(line.split()) > 5)
    return {"fds": fds, "threads": len(os.listdir(f"{folder}/task")), "maps": maps}


def anonymous(vm):
    """Mappings without a name: threads' stacks, the C library's arenas."""
    with open(f"/proc/{vm.pid}/maps", encoding="ascii") as f:
        return sum(1 for line in f if len(line.split()) == 5)


@test
def a_hundred_vms_in_one_process_leave_nothing():
    with Vm("-k", guest("reboot"), "-m", "32M", "-c", 2, "-e", "256M,requested=2M",
            "-p", "wait=1") as vm:
        for boot in range(WARM_UP + ROUNDS + 1):
            vm.expect(rf"^boot {2 * MiB}\r\n")
            if boot == WARM_UP:
                before, unnamed = taken(vm), anonymous(vm)
            if boot < WARM_UP + ROUNDS:
                vm.send("r")
        client = Qmp(vm.qmp_path)
        assert client.command("__org.ebb_stat")["boots"] == WARM_UP + ROUNDS + 1
        client.close()
        wait_until(lambda: taken(vm)["fds"] == before["fds"], 5, "the descriptors of before")
        assert taken(vm) == before, (before, taken(vm))
        # An allocator's own may grow by a few; what each VM leaves makes a hundred.
        assert anonymous(vm) < unnamed + ROUNDS // 2, (unnamed, anonymous(vm))
        print(f"# {len(before['fds'])} descriptors, {before['threads']} threads, "
              f"{len(before['maps'])} + {unnamed} mappings")


@test
def a_hundred_processes_leave_no_file_and_no_process():
    with scratch() as folder:
        def run(i):
            done = ebb("run", "-k", guest("hello"), "-m", "16M", "-e", "256M", "-n", f"vm{i}",
                       "--console=unix", "--debug-exit", "--pid-file", f"{folder}/pid{i}",
                       env={**os.environ, "XDG_RUNTIME_DIR": folder})
            codes.append(done.returncode)
        codes = []
        # Two at a time: they come and go beside each other.
        halves = [threading.Thread(target=lambda first=first: [
            run(i) for i in range(first, ROUNDS, 2)]) for first in (0, 1)]
        for half in halves:
            half.start()
        for half in halves:
            half.join()
        assert codes == [0] * ROUNDS, codes
        left = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]
        assert not left, left


@test
def four_at_once_take_and_give_what_is_theirs():
    with contextlib.ExitStack() as stack:
        vms = [stack.enter_context(
            Vm("-k", guest("tides"), "-m", "32M", "-e", f"256M,requested={8 * (i + 1)}M",
               "--debug-exit", "-p", f"wait=1 rounds=2 seed={1000 * i}")) for i in range(4)]
        for _ in range(2):
            spare = [int(vm.expect(r"^step full (\d+)\r\n").group(1)) for vm in vms]
            for i, vm in enumerate(vms):
                assert abs(vm.resident() - 8 * (i + 1) * MiB) <= 2 * MiB, (i, vm.resident())
                assert vm.resident("ebb-boot") >= spare[i] >= 20 * MiB, (i, spare[i])
            for vm in vms:
                vm.send("g")
            for i, vm in enumerate(vms):
                vm.expect(r"^step empty ")
                # The balloon's last pages wait for a moment of quiet.
                wait_until(lambda v=vm: v.resident() == 0 and v.resident("ebb-boot") < 10 * MiB, 10,
                           "what it gave back")
            for vm in vms:
                vm.send("g")
        for vm in vms:
            vm.expect("^PASS ")
            assert vm.wait() == 0


main()
