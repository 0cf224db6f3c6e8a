# SPDX-License-Identifier: Apache-2.0
"""The virtio console of a stock kernel: hvc0 as a terminal, named ports both ways, and what Linux
makes of clients that come and go."""
import fcntl
import hashlib
import os
import socket
import struct
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from linux import INITRD, KERNEL, PARAMS, LinuxVm  # pylint: disable=wrong-import-position
from port_client import PortClient  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from terminal import Peer, TerminalVm  # pylint: disable=wrong-import-position
from vm import KiB, MiB, wait_until  # pylint: disable=wrong-import-position

SIZE = MiB
PORT, SOCKET = "/dev/virtio-ports/org.ebb.test", "org.ebb.test.port"


def both_ways(vm):
    data = os.urandom(SIZE)
    with PortClient(vm, SOCKET) as client:
        vm.send(f"head -c {SIZE} {PORT} | md5sum; echo taken\n")
        client.sendall(data)
        assert vm.expect(r"^(?:# )?([0-9a-f]{32}) ", 120).group(1).decode() == \
            hashlib.md5(data).hexdigest()
        vm.expect("^taken")
        vm.send(f"head -c {SIZE} /dev/urandom > /tmp/r; md5sum < /tmp/r; cat /tmp/r > {PORT}\n")
        got = b""
        while len(got) < SIZE:
            piece = client.recv(256 * KiB)
            assert piece, f"the end after {len(got)} bytes"
            got += piece
        assert vm.expect(r"^(?:# )?([0-9a-f]{32}) ", 120).group(1).decode() == \
            hashlib.md5(got).hexdigest()


def come_and_go(vm):
    # A writer waits for a client, and a reader sees the end when that goes.
    vm.sh(f"(exec 3<>{PORT}; echo early >&3; cat <&3 >/tmp/got; echo ended >>/tmp/got) &")
    vm.sh("until grep -qsE 'wait_port_writable|port_fops_write' /proc/[0-9]*/wchan; do "
          "sleep 0.1; done")
    vm.sh("test ! -e /tmp/got")
    with PortClient(vm, SOCKET) as client:
        assert client.until(b"\n") == b"early\n"
        client.sendall(b"late\n")
    vm.sh("until grep -q ended /tmp/got; do sleep 0.1; done")
    assert vm.sh("cat /tmp/got").split() == ["late", "ended"]


def terminal(vm):
    with PortClient(vm, "hvc0") as client:
        vm.sh("setsid getty -n -l /bin/sh -L 0 hvc0 vt100")
        client.until(b"# ")
        client.sendall(b"tty\n")
        client.until(b"/dev/hvc0\r\n")
        client.sendall(b"echo hello-$((6 * 7))\n")
        client.until(b"hello-42\r\n")
        # Echo, line editing and signals are the terminal's.
        # At its prompt the shell does all of that by itself; whoever sends more before a program
        # runs finds it unread, or as plain text.
        client.sendall(b"sh -c 'echo run''ning; exec sleep 9999'\n")
        client.until(b"running\r\n")
        client.sendall(b"\x03")
        client.until(b"# ")
        client.sendall(b"echo status-$?\n")
        client.until(b"status-130\r\n")
        client.until(b"# ")
        client.sendall(b"sh -c 'echo rea''dy; read word; echo got-$word'\n")
        client.until(b"ready\r\n")
        client.sendall(b"inter\x7f\x7frupted\n")
        client.until(b"inter\b \b\b \brupted\r\n")
        client.until(b"got-intrupted\r\n")
    assert vm.sh("echo still here") == "still here"


@test
def hvc0_and_a_named_port():
    with LinuxVm("-m", "256M", "--hvc=unix", "--port", "org.ebb.test", "--port", "other",
                 params="console=hvc0 console=ttyS0") as vm:
        vm.ready()
        vm.ports({"org.ebb.test", "other"})
        both_ways(vm)
        come_and_go(vm)
        # A new driver finds all of it again.
        with PortClient(vm, SOCKET):
            vm.sh("rmmod virtio_console && insmod /lib/modules/*virtio_console.ko")
            vm.ports({"org.ebb.test", "other"})
        both_ways(vm)
        terminal(vm)
        vm.send("poweroff -f\n")
        assert vm.wait(60) == 0, vm.tail()


@test
def hvc0_alone_on_a_terminal_has_its_size():
    with TerminalVm("-k", KERNEL, "-i", INITRD, "-m", "256M", "--hvc=stdio", "-p", PARAMS,
                    size=(25, 90)) as vm:
        wait_until(lambda: os.path.exists(f"{vm.folder}/qmp.console"), 20, "the serial port")
        serial = socket.socket(socket.AF_UNIX)
        serial.connect(f"{vm.folder}/qmp.console")
        with Peer(serial.detach()) as shell:
            shell.expect("ebb-guest: ready", 120)
            shell.send("setsid getty -n -l /bin/sh -L 0 hvc0 vt100\n")
            vm.expect("# ")
            vm.send("stty size\r")
            vm.expect(r"^25 90\r\n")
            fcntl.ioctl(vm.master, termios.TIOCSWINSZ, struct.pack("4H", 43, 132, 0, 0))
            wait_until(lambda: vm.send("stty size\r") or
                       vm.expect(r"^(\d+) \d+\r\n").group(1) == b"43", 20, "the new size")
            vm.send("\x01x")
            vm.restored(0)


main()
