# SPDX-License-Identifier: Apache-2.0
"""The part of row_blk.py that runs on any KVM. Prints JSON: {way: [ns, ...]}, from a kick to the
completion seen by the guest, which polls: guests/diskspeed.c asks for the disk's name, so that the
host does nothing but answer. VMs stand side by side, stopped but for the one whose turn it is.

argv: a JSON object {rounds, qemu: [words]}.
"""
import contextlib
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
# pylint: disable=wrong-import-position
from bench import alternate
from blk_l1 import SECONDS, end, start, turn

REQUESTS = 2000


def main():
    job = json.loads(sys.argv[1])
    ways = {"ebb": {"ebb": []}, "qemu": {"drive": ""}}
    with tempfile.TemporaryDirectory(prefix="ebb-bench-") as folder, \
            contextlib.ExitStack() as stack:
        vms = {}
        for name, way in ways.items():
            path = f"{folder}/{name}.img"
            with open(path, "wb") as f:
                f.truncate(1 << 20)
            vm = vms[name] = stack.enter_context(
                start(job, way, path, f"reads={REQUESTS} id=1 bytes=512 poll=1"))
            vm.expect(r"^ready\r\n", SECONDS)
        print(json.dumps(alternate({name: lambda v=vm: turn(v, "1") for name, vm in vms.items()},
                                   job["rounds"])))
        end(vms)


main()
