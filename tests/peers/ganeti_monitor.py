# SPDX-License-Identifier: Apache-2.0
"""ganeti_monitor.py SOCKET: drives a VM of one virtio-mem device, mem0, through Ganeti's monitor
class, which must be in PYTHONPATH. Prints a line per step that went well."""
import os
import sys
import time

from ganeti import errors
from ganeti.hypervisor.hv_kvm import monitor

# A hang's limit, as the tests' own.
PATIENCE_S = 60 * float(os.environ.get("EBB_TEST_SLOW", "1"))


def step(good, what, got=None):
    if not good:
        print(f"not ok {what}: {got}")
        sys.exit(1)
    print(f"ok {what}")


def resize(qmp, size):
    qmp.Execute("qom-set", {"path": "mem0", "property": "requested-size", "value": size})
    end = time.monotonic() + PATIENCE_S
    while True:
        [device] = qmp.Execute("query-memory-devices")
        if device["data"]["size"] == size:
            break
        if time.monotonic() > end:
            step(False, f"resize to {size}", device)
        time.sleep(0.1)
    step(True, f"resize to {size}")


def refused(what, call):
    try:
        step(False, what, call())
    except (errors.HypervisorError, monitor.QmpCommandNotSupported) as e:
        step(True, what)
        return str(e)


with monitor.QmpConnection(sys.argv[1]) as qmp:
    step(qmp.version == (7, 2, 0) and "ebb" in qmp.package, "version", qmp.version)
    step("qom-set" in qmp.supported_commands, "commands", qmp.supported_commands)
    step(qmp.Execute("query-status")["status"] == "running", "running")
    qmp.Execute("stop")
    step(qmp.Execute("query-status")["status"] == "paused", "paused")
    qmp.Execute("cont")
    step(qmp.Execute("query-status")["running"], "running again")
    resize(qmp, 64 << 20)
    read_end, write_end = os.pipe()
    qmp._GetFd(write_end, "tap-0")  # pylint: disable=protected-access
    os.close(write_end)
    qmp.Execute("closefd", {"fdname": "tap-0"})
    step(os.read(read_end, 1) == b"", "a descriptor went there and is closed")
    qmp.Execute("balloon", {"value": 48 << 20})
    step(qmp.Execute("query-balloon")["actual"] <= 64 << 20, "balloon")
    refused("no size for the balloon", lambda: qmp.Execute("balloon", {"value": -1}))
    refused("a command that is not listed", lambda: qmp.Execute("query-pci"))
    resize(qmp, 0)
