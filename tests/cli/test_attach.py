# SPDX-License-Identifier: Apache-2.0
"""A console that others attach to: unix socket, pseudo terminal, `ebb console`, and VMs in the
background. Of much output, and of slow readers, tests/unit/test_console_port.c knows more."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, read, test  # pylint: disable=wrong-import-position
from terminal import Peer, Terminal  # pylint: disable=wrong-import-position
from vm import (EBB, Qmp, Vm, ebb,  # pylint: disable=wrong-import-position
                guest, hang_limit, wait_until)


def console(*arguments, params="", where="unix"):
    return Vm(f"--console={where}", "-k", guest("console"), "-m", "64M", "--debug-exit", "-p",
              params, *arguments, stdin=subprocess.DEVNULL)


def info(vm):
    return vm.qmp.command("__org.ebb_stat")["console"]


def connect(vm):
    if info(vm)["kind"] == "pty":
        return Peer(os.open(info(vm)["path"], os.O_RDWR | os.O_NOCTTY))
    client = socket.socket(socket.AF_UNIX)
    client.connect(info(vm)["path"])
    return Peer(client.detach())


def runs(vm):
    """The guest has come to where it waits for input: it looks for it again and again."""
    before = vm.qmp.command("__org.ebb_stat")["exits"]
    wait_until(lambda: vm.qmp.command("__org.ebb_stat")["exits"] > before + 50, 30, "the guest")



@test
def a_socket_beside_the_control_socket():
    with console() as vm:
        assert info(vm)["kind"] == "unix" and not info(vm)["attached"]
        path = info(vm)["path"]
        assert path == os.path.join(vm.folder, "qmp.console")
        assert os.stat(path).st_mode & 0o777 == 0o600
        runs(vm)
        with connect(vm) as peer:
            peer.expect("^ready\r\n")  # said before anybody was there
            peer.send("a")
            peer.expect("^got 61\r\n")
            assert info(vm)["attached"] and info(vm)["pid"] == os.getpid()
            vm.qmp.command("quit")
            peer.expect_end()
        assert vm.wait() == 0 and not os.path.exists(path)
        assert not vm.output and not vm.errors, (vm.output, vm.errors)


@test
def a_socket_where_it_is_told_to_be():
    with tempfile.TemporaryDirectory() as folder, console(where=f"unix:{folder}/c") as vm:
        assert info(vm)["path"] == f"{folder}/c"
        with connect(vm) as peer:
            peer.expect("^ready\r\n")
        done = ebb("run", "--console", f"unix:{folder}/c", "--qmp", f"{folder}/q", "-k",
                   guest("console"), "-m", "64M")
        assert done.returncode == 35 and b"is in use" in done.stderr, done
        vm.qmp.command("quit")
        assert vm.wait() == 0 and not os.listdir(folder), os.listdir(folder)


@test
def one_at_a_time():
    with console() as vm:
        with connect(vm) as first:
            first.expect("^ready\r\n")
            with connect(vm) as second:
                second.expect_end()
                assert second.output == f"ebb: pid {os.getpid()} is attached already\r\n".encode()
            done = ebb("console", vm.qmp_path)
            assert done.returncode == 35 and f"attached by pid {os.getpid()};".encode() in \
                done.stderr, done
            first.send("a")
            first.expect("^got 61\r\n")
        wait_until(lambda: not info(vm)["attached"], 10, "the first to be gone")
        with connect(vm) as third:
            third.expect("^got 61\r\n")


@test
def who_hangs_up_with_unread_input_locks_nobody_out():
    with console("--paused") as vm:
        with connect(vm) as first:
            wait_until(lambda: info(vm)["attached"], 20, "the first")
            first.send(b"a" * 10000)
        wait_until(lambda: not info(vm)["attached"], 10, "the first to be gone")
        with connect(vm) as second:
            wait_until(lambda: info(vm)["attached"], 10, "the second")
            vm.qmp.command("cont")
            second.expect("^ready\r\n")
            second.expect("^got 61\r\n")


@test
def it_survives_a_reset():
    with console() as vm, connect(vm) as peer:
        peer.expect("^ready\r\n")
        vm.qmp.command("stop")
        peer.send("a" * 200)  # more than the port holds
        vm.qmp.command("system_reset")
        vm.qmp.command("cont")
        peer.expect("^ready\r\n")
        # What the port held is lost with it; the rest arrives in the new boot.
        peer.send("z")
        peer.expect("^got 7a\r\n")


@test
def a_pseudo_terminal():
    with console(where="pty") as vm:
        path = info(vm)["path"]
        assert info(vm)["kind"] == "pty" and re.fullmatch(r"/dev/pts/\d+", path)
        assert os.stat(path).st_mode & 0o777 == 0o600
        runs(vm)
        assert not info(vm)["attached"]
        for _ in range(2):
            with connect(vm) as peer:
                peer.expect("^ready\r\n")
                peer.send("a\x03\r")  # raw: no echo, no signal, no translation
                peer.expect(r"^got 61\r\ngot 03\r\ngot 0d\r\n")
                assert info(vm)["attached"]
            wait_until(lambda: not info(vm)["attached"], 10, "the reader to be gone")
        assert f"console: pty {path}\n".encode() in ebb("stat", vm.qmp_path).stdout
        process = subprocess.Popen([EBB, "console", vm.qmp_path], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        process.stdin.write(b"q")
        output, _ = process.communicate(timeout=hang_limit())
        assert process.returncode == 0 and b"got 61\r\n" in output and b"PASS" in output, output
        assert vm.wait() == 0


@test
def no_console_at_all():
    with console(where="none") as vm:
        runs(vm)  # so it has said "ready" to nobody
        assert info(vm) == {"kind": "none", "path": "", "attached": False}
        done = ebb("console", vm.qmp_path)
        assert done.returncode == 35 and b"has no console" in done.stderr, done
        assert os.listdir(vm.folder) == ["qmp.sock"]


@test
def a_console_on_standard_files_says_where_it_is():
    with Vm("-k", guest("console"), "-m", "64M") as vm:
        vm.expect("^ready\r\n")
        target = os.readlink(f"/proc/{vm.pid}/fd/1")
        assert info(vm) == {"kind": "stdio", "path": target, "attached": True}
        done = ebb("console", vm.qmp_path)
        for word in (f"pid {vm.pid}, on {target};", "--console=unix"):
            assert done.returncode == 35 and word.encode() in done.stderr, done
        assert done.stderr.count(b"\n") == 1, done


@test
def a_console_that_can_not_be():
    for where, word in (("tty", "none of stdio"), ("unix:", "none of stdio"), ("", "none of stdio"),
                        ("unix:/nonexistent/c", "/nonexistent"), (f"unix:{'x' * 200}", "107")):
        done = ebb("run", "-k", guest("console"), "-m", "64M", f"--console={where}")
        assert done.returncode == 35 and word.encode() in done.stderr, (where, done)
        assert done.stderr.count(b"\n") == 1, done


# --- ebb console

def attached(vm, **options):
    assert not info(vm)["attached"]
    process = subprocess.Popen([EBB, "console", vm.qmp_path],
                               **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE,
                                  "stderr": subprocess.PIPE, **options})
    wait_until(lambda: info(vm).get("pid") == process.pid or process.poll() is not None, 20,
               "the client")
    return process


@test
def piped_input_and_output():
    with console() as vm:
        # Every byte is the guest's; output goes on when the input has ended.
        process = attached(vm)
        output, errors = process.communicate(b"\x01d\x03q", timeout=hang_limit())
        assert process.returncode == 0 and not errors, (process.returncode, errors)
        assert output.startswith(b"ready\r\ngot 01\r\ngot 64\r\ngot 03\r\nPASS "), output
        assert vm.wait() == 0


@test
def a_client_that_is_ended():
    with console() as vm:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = attached(vm)
            assert process.stdout.read(7) == b"ready\r\n"  # before it is as good as not there
            process.send_signal(number)
            output, errors = process.communicate(timeout=hang_limit())
            assert process.returncode == 128 + number and not errors, (process.returncode, errors)
            wait_until(lambda: not info(vm)["attached"], 10, "the client to be gone")
        with open("/dev/full", "wb") as full:
            process = attached(vm, stdout=full)
            _, errors = process.communicate(timeout=hang_limit())
            assert process.returncode == 1 and errors.count(b"\n") == 1, errors
        assert vm.qmp.command("query-status")["status"] == "running"


@test
def input_ends_before_the_output():
    with console() as vm:
        process = attached(vm, stdin=subprocess.DEVNULL)
        process.stdout.read(len(b"ready\r\n"))
        vm.qmp.command("system_powerdown")
        output, _ = process.communicate(timeout=hang_limit())
        assert process.returncode == 0 and output == b"power button\r\n", output
        assert vm.wait() == 0


def terminal(vm):
    """`ebb console` on a terminal, in raw mode; once the VM has seen the one before go."""
    wait_until(lambda: not info(vm)["attached"], 10, "the one before to be gone")
    client = Terminal(EBB, "console", vm.qmp_path)
    client.expect("^ready\r\n")
    assert client.is_raw()
    return client


@test
def on_a_terminal_ctrl_a_d_detaches():
    with console() as vm:
        vm.qmp.command("query-status")
        with terminal(vm) as client:
            client.send("a\x01\x01\x03")
            client.expect("^got 61\r\ngot 01\r\ngot 03\r\n")
            client.send("\x01d")
            client.restored(0)
            assert b"detached" in client.output, client.output
        with terminal(vm) as client:
            # Also when the guest does not read.
            vm.qmp.command("stop")
            for _ in range(60):
                client.send(b"a" * 4000)
            client.send("\x01d")
            client.restored(0)
        vm.qmp.command("cont")


@test
def on_a_terminal_its_settings_come_back_however_it_ends():
    with console() as vm:
        vm.qmp.command("query-status")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with terminal(vm) as client:
                client.signal(number)
                client.restored(128 + number)
        for number in (signal.SIGKILL, signal.SIGSEGV):
            with terminal(vm) as client:
                client.signal(number)
                client.restored(-number)
        with terminal(vm) as client:
            vm.qmp.command("quit")
            client.restored(0)
            assert b"the console is closed" in client.output
        assert vm.wait() == 0


# --- in the background

def ended(pid):
    """Whether a process is gone, or a zombie without threads: those hold its files on."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return not fields or (fields[0] == "Z" and int(fields[17]) < 2)


def background(folder, *arguments, **options):
    return ebb("run", "--background", "-m", "64M", *arguments,
               env={**os.environ, "EBB_RUN_DIR": folder}, **options)


@test
def a_vm_in_the_background():
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "EBB_RUN_DIR": folder}
        done = background(folder, "-k", guest("console"), "-n", "back", "--debug-exit")
        found = re.fullmatch(rb"back: running, pid (\d+)\n", done.stdout)
        assert done.returncode == 0 and found and not done.stderr, done
        pid = int(found.group(1))
        try:
            # A session of its own, with nothing of ours open.
            assert os.getsid(pid) == pid
            for fd in range(3):
                assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null"
            assert ebb("list", env=env).stdout == b"back\n"
            done = ebb("console", "back", input=b"aq", stdin=None, env=env)
            assert done.returncode == 0, done
            assert done.stdout.startswith(b"ready\r\ngot 61\r\nPASS "), done
        finally:
            ebb("stop", "--force", "back", env=env)
        assert not os.listdir(folder), os.listdir(folder)


@test
def a_name_by_default_is_that_of_the_vms_own_pid():
    with tempfile.TemporaryDirectory() as folder:
        done = background(folder, "-k", guest("console"), "--paused")
        found = re.fullmatch(rb"(vm-(\d+)): prelaunch, pid \2\n", done.stdout)
        assert done.returncode == 0 and found, done
        ebb("stop", "--force", found.group(1).decode(), env={**os.environ, "EBB_RUN_DIR": folder})


@test
def a_start_in_the_background_that_fails_says_why():
    with tempfile.TemporaryDirectory() as folder:
        for arguments, word in ((("-k", "/nonexistent"), "/nonexistent"),
                                (("-k", "/dev/null"), "/dev/null"),
                                ((), "no kernel"),
                                (("-k", guest("console"), "--console=stdio"), "--background")):
            done = background(folder, *arguments)
            assert done.returncode == 35 and not done.stdout, (arguments, done)
            assert done.stderr.count(b"\n") == 1 and word.encode() in done.stderr, done
        with open("/dev/full", "wb") as full:
            done = background(folder, "-k", guest("console"), stdout=full)
            assert done.returncode == 35 and b"standard output" in done.stderr, done
        assert not os.listdir(folder), os.listdir(folder)


@test
def messages_from_the_background_go_on_into_a_file():
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        done = background(folder, "-k", guest("triple"), "-n", "bad", "--paused", stderr=log)
        assert done.returncode == 0, done
        control = Qmp(f"{folder}/bad.sock")
        control.command("cont")
        wait_until(lambda: not os.listdir(folder), 20, "the end of the VM")
        control.close()
        log.seek(0)
        assert b"triple fault" in log.read()


@test
def what_the_dead_leave_is_removed():
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "EBB_RUN_DIR": folder}
        for name in ("one", "two"):
            done = background(folder, "-k", guest("console"), "-n", name)
            pid = int(done.stdout.split()[-1])
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: ended(pid), 10, "its end")
        assert sorted(os.listdir(folder)) == ["one.console", "one.sock", "two.console", "two.sock"]
        done = background(folder, "-k", guest("console"), "-n", "one")
        assert done.returncode == 0, done
        assert ebb("list", env=env).stdout == b"one\n"
        assert sorted(os.listdir(folder)) == ["one.console", "one.sock"]
        assert ebb("stop", "--force", "one", env=env).returncode == 0
        assert not os.listdir(folder)


main()
