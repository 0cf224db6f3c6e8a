# SPDX-License-Identifier: Apache-2.0
"""Named ports and hvc0 of the virtio console: every byte in its order, whoever is slow; clients that
come, go and wait for their turn."""
import array
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from guarded import NESTED  # pylint: disable=wrong-import-position
from port_client import PortClient  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from vm import (EBB, SANITIZED, KiB, MiB, Vm, ebb,  # pylint: disable=wrong-import-position
                guest, hang_limit, idles, scratch, wait_until)

# Many times what lies between the ends; an emulated machine has not the time for more.
STREAM = int(os.environ.get("EBB_PORTS_MIB", 8 if NESTED or SANITIZED else 100)) * MiB
# All that lies between two ends that do not move: buffers of ebb, of the guest and of a socket.
BETWEEN = 2 * MiB


def ports(size=MiB, *arguments, opens=True):
    vm = Vm("-k", guest("ports"), "-m", "64M", "--debug-exit", "--port", "test",
            "-p", f"bytes={size} interrupts=1", *arguments)
    vm.expect("^ready\r\n")
    if opens:
        vm.send("o")
    return vm


def client_of(vm, ending="test.port"):
    return PortClient(vm, ending)


def stream(start, end):
    """Bytes of the guest's stream of numbers, both a multiple of 8."""
    return array.array("Q", range(start // 8, end // 8)).tobytes()


def read_stream(client, size, stall=None):
    """All of it, compared; STALL() is called after each sixteenth."""
    at = 0
    while at < size:
        end = min(at + max(size // 16, 8), size)
        want, got = stream(at, end), bytearray()
        while len(got) < len(want):
            data = client.recv(min(len(want) - len(got), 256 * KiB))
            assert data, f"the end after {at + len(got)} bytes"
            got += data
        assert got == want, f"wrong between {at} and {end}"
        at = end
        if stall:
            stall()


def write_stream(client, size):
    for at in range(0, size, MiB):
        client.sendall(stream(at, min(at + MiB, size)))


@test
def a_stream_each_way_at_once_with_a_reader_that_stalls():
    with ports(STREAM) as vm, client_of(vm) as client:
        vm.expect("^host open\r\n")
        before = vm.status("VmHWM")
        vm.send("b")
        failed = []

        def write():
            try:
                write_stream(client, STREAM)
            except OSError as e:
                failed.append(e)
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        read_stream(client, STREAM, lambda: time.sleep(0.05))
        writer.join(hang_limit())
        assert not writer.is_alive() and not failed, failed
        vm.expect("^sent and received\r\n")
        grown = vm.status("VmHWM") - before
        if not SANITIZED:
            assert grown < 8 * MiB, f"ebb has grown by {grown >> 10} KiB"  # the guest's buffers
        vm.send("q")
        assert vm.wait() == 0


@test
def a_reader_that_stalls_stops_the_guest():
    with ports(4 * MiB) as vm, client_of(vm) as client:
        vm.expect("^host open\r\n")
        vm.send("s")
        idles(vm)
        vm.pump(0)
        assert b"sent" not in vm.output
        read_stream(client, 4 * MiB)
        vm.expect("^sent\r\n")


def guest_stops_writer(opens):
    with ports(4 * MiB, opens=opens) as vm, client_of(vm) as client:
        data, at = stream(0, 4 * MiB), 0
        client.setblocking(False)
        for _ in range(3):
            try:
                while True:
                    at += client.send(data[at:at + 64 * KiB])
            except BlockingIOError:
                idles(vm)
        assert at < BETWEEN, f"{at >> 10} KiB went nowhere"
        client.setblocking(True)
        vm.send("r" if opens else "or")
        client.sendall(data[at:])
        vm.expect("^received\r\n")


@test
def a_guest_that_does_not_read_stops_the_writer():
    guest_stops_writer(False)  # its end is closed
    guest_stops_writer(True)  # it has given buffers, and gives no more


@test
def output_without_a_client_is_lost():
    with ports() as vm:
        vm.send("s")
        vm.expect("^sent\r\n")
        with client_of(vm) as client:
            vm.expect("^host open\r\n")
            assert client.is_silent()
            vm.send("l")
            client.sendall(b"hello\n")
            assert client.line() == b"guest saw hello\n"
            vm.send("s")
            client.recv(1)
        # One that goes in the middle of it: the guest goes on.
        vm.expect("(?s)^host closed\r\n.*^sent\r\n|^sent\r\n.*^host closed\r\n")
        with client_of(vm) as client:
            vm.expect("^host open\r\n")
            assert client.is_silent()


@test
def clients_are_served_in_turn():
    with ports() as vm, client_of(vm) as first:
        second, third = client_of(vm), client_of(vm)
        second.sendall(b"two\n")
        third.sendall(b"three\n")
        vm.expect("^host open\r\n")
        idles(vm)
        vm.send("l")
        first.sendall(b"one\n")
        assert first.line() == b"guest saw one\n"
        assert second.is_silent()
        vm.send("ll")
        # Who hangs up with input under way has it read first.
        first.sendall(b"one more\n")
        first.close()
        vm.expect("^line one more\r?\n")
        answer = second.line()
        if answer == b"guest saw one more\n":  # written when the first had gone
            answer = second.line()
        assert answer == b"guest saw two\n", answer
        assert third.is_silent()
        second.close()
        vm.send("l")
        assert third.line() == b"guest saw three\n"
        third.close()
        assert len([m for m in vm.output.split(b"\r\n") if m == b"host open"]) <= 3
        vm.expect("^host closed\r\n")


@test
def input_of_a_client_that_has_gone_is_lost_while_the_guests_end_is_closed():
    with ports(opens=False) as vm:
        with client_of(vm) as client:
            vm.expect("^host open\r\n")
            client.sendall(b"stale\n")
        vm.expect("^host closed\r\n")
        with client_of(vm) as client:
            vm.expect("^host open\r\n")
            client.sendall(b"fresh\n")
            vm.send("ol")
            assert client.line() == b"guest saw fresh\n"


@test
def the_next_boot_finds_the_client_again():
    with ports() as vm, client_of(vm) as client:
        vm.expect("^host open\r\n")
        vm.qmp.command("system_reset")
        vm.expect("^host open\r\n")
        vm.expect("^ready\r\n")
        vm.send("ol")
        client.sendall(b"again\n")
        assert client.line() == b"guest saw again\n"


@test
def a_paused_guest_is_left_alone():
    with ports() as vm, client_of(vm) as client:
        vm.expect("^host open\r\n")
        vm.send("l")
        time.sleep(0.2)
        vm.qmp.command("stop")
        before = vm.resident("ebb-boot")
        client.sendall(b"while paused\n")
        assert client.is_silent() and vm.resident("ebb-boot") == before
        vm.qmp.command("cont")
        assert client.line() == b"guest saw while paused\n"


@test
def hvc0_is_a_console():
    with ports(MiB, "--hvc", "unix") as vm:
        assert b"console 0\r\n" in vm.output
        vm.send("he")
        with client_of(vm, "hvc0") as client:  # what came before is kept
            assert client.line() == b"hello on hvc0\n" and client.recv(1) == b"!"
            vm.send("h")
            assert client.line() == b"hello on hvc0\n"
            with client_of(vm, "hvc0") as other:
                assert b"is attached already" in other.line()
        vm.send("h")
        attached = subprocess.Popen([EBB, "console", vm.qmp_path, "--hvc"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert attached.stdout.read(30) == b"hello on hvc0\n!hello on hvc0\nh"
        vm.send("q")
        assert vm.wait() == 0
        assert attached.stdout.read() == b"ello on hvc0\n" and attached.wait(hang_limit()) == 0
        attached.stdout.close()


@test
def control_clients_see_the_ports():
    with scratch() as folder, \
         ports(MiB, "--port", f"org.ebb.agent,path={folder}/agent", "--hvc=pty") as vm:
        def chardevs():
            return {c["label"]: c for c in vm.qmp.command("query-chardev")}
        found = chardevs()
        assert set(found) == {"serial0", "hvc0", "test", "org.ebb.agent"}, found
        assert found["test"]["filename"] == f"unix:{vm.folder}/qmp.test.port", found
        assert found["org.ebb.agent"]["filename"] == f"unix:{folder}/agent", found
        assert found["hvc0"]["filename"].startswith("pty:/dev/pts/"), found
        assert found["serial0"]["filename"] == "stdio", found
        wait_until(lambda: chardevs()["test"]["frontend-open"], 10, "the guest's end open")
        assert not found["org.ebb.agent"]["frontend-open"], found
        with client_of(vm):
            vm.expect("^host open\r\n")
            stat = vm.qmp.command("__org.ebb_stat")
            port = next(p for p in stat["ports"] if p["name"] == "test")
            assert port["attached"] and port["pid"] == os.getpid() and port["open"], port
            assert stat["hvc"]["kind"] == "pty" and not stat["hvc"]["attached"], stat["hvc"]
        os.stat(f"{folder}/agent")
        vm.send("q")
        assert vm.wait() == 0
        assert os.listdir(folder) == [], "the port's socket is left"


@test
def what_a_killed_vm_leaves_goes():
    with scratch() as folder:
        env = {**os.environ, "EBB_RUN_DIR": folder}

        def start():
            done = ebb("run", "--background", "-n", "vm", "-k", guest("ports"), "-m", "64M",
                       "--port", "test", "--hvc=unix", env=env)
            assert done.returncode == 0, done
            return int(done.stdout.rsplit(b" ", 1)[1])
        for _ in range(2):
            pid = start()
            assert set(os.listdir(folder)) == {"vm.sock", "vm.console", "vm.hvc0", "vm.test.port"}
            os.kill(pid, 9)
            wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10,  # pylint: disable=W0640
                       "the end of a killed process")
        assert ebb("list", env=env).stdout == b"" and os.listdir(folder) == []


main()
