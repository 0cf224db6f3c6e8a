# SPDX-License-Identifier: Apache-2.0
"""The part of row_relief.py that runs where KVM is real: a stock kernel runs out of memory again and
again and gets some, each time by another way. Prints JSON: {WAY: [{relief, told, host_us, ...}, ...]}.

argv: a JSON object {rounds, seconds}. No round is begun when SECONDS have passed.

guests/linux/stall.c takes the times in the guest. For each way alone, what it says on its port makes
this script give it memory, over QMP; `host_us` is from that line to the last reply. By the way `ask`
it speaks to the VMM itself, as an agent does, and the policy decides.
"""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from linux import LinuxVm, huge_pages
from port_client import PortClient
from vm import MiB, scratch

BOOT, RESERVE, MORE = 256 * MiB, 16 * MiB, 32 * MiB
FULL = 128 * MiB  # a memory block of Linux
PARTLY = FULL + 2 * MiB
FREED = 24 * MiB
PORT, AGENT = "org.ebb.relief", "org.ebb.agent"
# What is plugged and what is in reserve when memory runs out, and how much of each it then gets.
WAYS = {"reserve": (PARTLY, RESERVE, 0, RESERVE), "plug": (PARTLY, 0, MORE, 0),
        "plug-new": (FULL, 0, MORE, 0), "both": (PARTLY, RESERVE, MORE, RESERVE),
        "both-new": (FULL, RESERVE, MORE, RESERVE), "ask": (PARTLY, RESERVE, None, None)}


def settle(vm, plugged, reserve):
    # In this order: what is ballooned may lie in what is to be unplugged.
    for device, size in (("balloon0", BOOT), ("mem0", plugged), ("balloon0", BOOT - reserve)):
        if vm.job(device)["size"] != size:
            job = vm.resize_wait(size, 60, device, timeout=30)
            assert job["state"] == "done", job


def give(vm, client, plugged, reserve, more, released):
    """host_us"""
    client.sendall(b"eat\n")
    assert client.line() == b"stalled\n"
    begin = time.monotonic_ns()
    if released:
        vm.resize(BOOT - reserve + released, "balloon0")
    if more:
        vm.resize(plugged + more, "mem0")
    return (time.monotonic_ns() - begin) // 1000


def run_out(vm, client, way):
    plugged, reserve, more, released = WAYS[way]
    vm.qmp.command("__org.ebb_set-autosize", enabled=False)
    settle(vm, plugged, reserve)
    if more is None:
        vm.qmp.command("__org.ebb_set-autosize", enabled=True)
        client.sendall(f"ask {MORE // MiB}\n".encode())
        host_us = None
    else:
        host_us = give(vm, client, *WAYS[way])
    words = client.line().decode().split()
    assert words[0] == "relief", words
    client.sendall(f"free {FREED // MiB}\n".encode())
    assert client.line() == b"freed\n"
    return {"host_us": host_us, **dict(zip(words[::2], map(int, words[1::2])))}


def measure(job):
    results = {way: [] for way in WAYS}
    end = time.monotonic() + job["seconds"]
    with scratch() as folder:
        disk = f"{folder}/cache.img"
        with open(disk, "wb") as f:
            f.truncate(16 * MiB)
        # Nothing is given back in the middle of it.
        with LinuxVm("-m", "256M", "--max", "1280M", "--reserve", "16M", "--port", PORT, "--disk",
                     f"{disk},readonly", "--free-page-reporting=off") as vm:
            vm.ready()
            vm.ports({PORT, AGENT})
            with PortClient(vm, f"{PORT}.port") as client:
                vm.sh(f"cd /dev/virtio-ports; (stall {PORT} /dev/vda {AGENT} &)")
                # The first round does not count: memory fills from empty.
                for i in range(-1, job["rounds"]):
                    for way in WAYS if time.monotonic() < end else ():
                        one = run_out(vm, client, way)
                        if i >= 0:
                            results[way].append(one)
                        print(f"bench: relief: {way}, round {i}: {one}", file=sys.stderr, flush=True)
                kills = vm.sh("grep oom_kill /proc/vmstat")
                assert kills == "oom_kill 0", kills
    return results


def main():
    job = json.loads(sys.argv[1])
    with huge_pages():
        print(json.dumps(measure(job)))


main()
