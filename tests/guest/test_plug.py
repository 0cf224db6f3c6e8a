# SPDX-License-Identifier: Apache-2.0
"""Memory that is plugged and unplugged, measured by the host after every step of the guest."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import MiB, Vm, guest  # pylint: disable=wrong-import-position

TOLERANCE = 2 * MiB


def near(is_bytes, should_bytes, what):
    assert abs(is_bytes - should_bytes) <= TOLERANCE, \
        f"{what}: {is_bytes >> 10} KiB resident, {should_bytes >> 10} KiB expected"


def device(vm, name):
    return {d["data"]["id"]: d["data"]
            for d in vm.qmp.command("query-memory-devices")}[name]


def one_round(vm, name, size):
    """Follows the plug guest from step to step. Residents of the other devices must not move."""
    others = [d["data"]["id"] for d in vm.qmp.command("query-memory-devices")
              if d["data"]["id"] != name]
    memfd = f"ebb-{name}"

    def step(text, plugged, resident):
        vm.expect(rf"^step {text}\r\n", 60)
        assert device(vm, name)["size"] == plugged, device(vm, name)
        near(vm.resident(memfd), resident, text)
        for other in others:
            assert vm.resident(f"ebb-{other}") == 0, other
        vm.send("g")

    half = size // 2
    step("start", 0, 0)
    step(f"plugged {size}", size, 0)
    step(f"written {size}", size, size)
    step(f"verified {size}", size, size)
    step(f"reset {size}", size, size)
    step(f"unplugged {half}", half, half)
    step(f"replugged {size}", size, half)
    step(f"rewritten {size}", size, size)
    step("end", 0, 0)
    vm.expect("^PASS ")
    assert vm.wait() == 0


def plug_vm(*elastic, params=""):
    arguments = [word for e in elastic for word in ("-e", e)]
    return Vm("-k", guest("plug"), "-m", "64M", "--debug-exit", "-p", f"wait=1 {params}",
              *arguments)


@test
def the_host_has_what_the_guest_has_and_gets_back_what_it_gave():
    with plug_vm("512M,requested=128M") as vm:
        one_round(vm, "mem0", 128 * MiB)


@test
def the_same_without_indirect_descriptors_and_event_index():
    with plug_vm("256M,requested=64M", params="ring=plain") as vm:
        one_round(vm, "mem0", 64 * MiB)


@test
def the_same_with_larger_blocks():
    for block, size in (4, 64), (8, 64), (128, 256):
        with plug_vm(f"512M,requested={size}M,block={block}M") as vm:
            assert device(vm, "mem0")["block-size"] == block * MiB
            one_round(vm, "mem0", size * MiB)


@test
def each_of_two_devices_moves_its_own_memory_only():
    for index in (0, 1):
        with plug_vm("256M,requested=64M", "256M,requested=64M,block=4M",
                     params=f"device={index}") as vm:
            one_round(vm, f"mem{index}", 64 * MiB)


@test
def four_devices_of_different_block_sizes_and_names():
    with plug_vm("256M,requested=64M,id=a", "512M,requested=64M,block=4M,id=b",
                 "256M,requested=64M,block=8M,id=c", "2304M,requested=64M,id=d",
                 params="device=2") as vm:
        devices = [d["data"] for d in vm.qmp.command("query-memory-devices")]
        assert [d["id"] for d in devices] == ["a", "b", "c", "d"]
        assert [d["block-size"] >> 20 for d in devices] == [2, 4, 8, 2]
        assert [d["max-size"] >> 20 for d in devices] == [256, 512, 256, 2304]
        starts = [d["memaddr"] for d in devices]
        ends = [d["memaddr"] + d["max-size"] for d in devices]
        assert all(at % (2 << 30) == 0 and at >= 4 << 30 for at in starts), starts
        assert all(end <= start for end, start in zip(ends, starts[1:])), (starts, ends)
        one_round(vm, "c", 64 * MiB)


@test
def memory_of_a_vm_that_ended_is_gone_with_its_process():
    with plug_vm("256M,requested=128M") as vm:
        vm.expect(r"^step start\r\n")
        vm.send("g")
        vm.expect(r"^step plugged")
        vm.send("g")
        vm.expect(r"^step written")
        near(vm.resident(), 128 * MiB, "written")
        vm.qmp.command("quit")
        assert vm.wait() == 0
        assert not os.path.exists(f"/proc/{vm.pid}/fd/0")


main()
