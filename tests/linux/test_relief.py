# SPDX-License-Identifier: Apache-2.0
"""Memory arrives in a guest that has none left, not a page to manage more of it with."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from linux import AGENT_INITRD, LinuxVm, huge_pages  # pylint: disable=wrong-import-position
from port_client import PortClient  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from vm import MiB, scratch  # pylint: disable=wrong-import-position

BOOT, RESERVE, MORE = 256 * MiB, 16 * MiB, 32 * MiB
BLOCK = 128 * MiB  # of Linux
PARTLY = BLOCK + 2 * MiB
PORT = "org.ebb.relief"


def kills(vm):
    return int(vm.sh("grep oom_kill /proc/vmstat").split()[1])


def to_the_brim(client):
    client.sendall(b"brim\n")
    assert client.line() == b"brim\n"


def relieved(client, way):
    """The program has touched a page beyond what it had left."""
    words = client.line().decode().split()
    assert words[0] == "relief", words
    print(f"# {way}: {int(words[1]) / 1000:.1f} ms; {words[5]} KiB were free")


@test
def the_reserve_and_a_block_that_is_partly_plugged_need_no_page():
    with huge_pages(), scratch() as folder:
        with open(f"{folder}/disk", "wb") as f:
            f.truncate(MiB)
        with LinuxVm("-m", "256M", "-e", f"1G,requested={PARTLY >> 20}M", "--port", PORT,
                     "--disk", f"{folder}/disk,readonly", initrd=AGENT_INITRD) as vm:
            vm.ready()
            vm.ports({PORT})
            vm.sh("dmesg -n 1")
            assert vm.resize_wait(BOOT - RESERVE, 60, "balloon0")["state"] == "done"
            with PortClient(vm, f"{PORT}.port") as client:
                vm.sh(f"(stall /dev/virtio-ports/{PORT} /dev/vda &)")
                to_the_brim(client)
                vm.resize(PARTLY + MORE)
                relieved(client, "partly plugged")
                to_the_brim(client)
                vm.resize(BOOT, "balloon0")
                relieved(client, "reserve")
                assert kills(vm) == 0 and vm.job()["state"] == "done", vm.job()
                # What the policy avoids: a block that the guest has to make first.
                assert vm.resize_wait(2 * BLOCK)["state"] == "done"
                to_the_brim(client)
                vm.resize(2 * BLOCK + MORE)
                came = not client.is_silent(5)
                print(f"# a new block: {'' if came else 'nothing '}came within 5 s; {kills(vm)} "
                      "processes were killed for want of memory")


main()
