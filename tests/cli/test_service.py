# SPDX-License-Identifier: Apache-2.0
"""`ebb run` under a program of one's own or a service manager: descriptors handed over, readiness,
pid file, log file, and a start after a hard end."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, skip, test  # pylint: disable=wrong-import-position
from vm import (EBB, ROOT, MiB, Qmp, Vm, ebb,  # pylint: disable=wrong-import-position
                guest, hang_limit, scratch, wait_until)

NOBODY = 65534
CONSOLE = ("-k", guest("console"), "-m", "64M")
# Gives descriptors the numbers from 3 on, and itself the environment of sd_listen_fds(3).
LISTEN_FDS = """
import os, sys
names, fds = sys.argv[1], [int(fd) for fd in sys.argv[2].split(",")]
fds = [os.dup(fd) for fd in fds]
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[3]))
os.environ["LISTEN_FDS"] = str(len(fds))
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.execv(sys.argv[4], sys.argv[4:])
"""


class Run:
    """`ebb run` as its parent sees it; killed at the end if it still runs."""

    def __init__(self, *arguments, command=(EBB,), **options):
        self.process = subprocess.Popen([*command, "run", *map(str, arguments)],
                                        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                                           "stderr": subprocess.PIPE, **options})

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def connected(path):
    """A session, once somebody listens at PATH."""
    def connect():
        try:
            return Qmp(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
    return wait_until(connect, 20, f"a listener at {path}")


def listener(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    os.set_inheritable(sock.fileno(), True)
    return sock


def fails(*arguments, words=(), **options):
    done = ebb("run", *arguments, **options)
    errors = done.stderr.decode()
    assert done.returncode == 35 and errors.count("\n") == 1, (arguments, done)
    for word in words:
        assert word in errors, (arguments, word, errors)


# --- descriptors

@test
def a_listening_socket_is_served_before_the_vm_exists():
    with scratch() as folder:
        path = f"{folder}/q"
        with listener(path) as sock, \
             Run("--qmp", f"fd:{sock.fileno()}", *CONSOLE, pass_fds=[sock.fileno()]) as process:
            qmp = Qmp(path)  # waits in the backlog for the VM to start
            assert qmp.command("query-status")["status"] == "running"
            qmp.command("quit")
            assert process.wait(hang_limit()) == 0
            assert os.path.exists(path)  # whoever made it removes it


@test
def a_connected_socket_is_the_one_session():
    ours, theirs = socket.socketpair()
    with ours, theirs, Run("--qmp", f"fd:{theirs.fileno()}", *CONSOLE,
                           pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        ours.settimeout(hang_limit())
        assert ours.recv(4096).startswith(b'{"QMP"')
        ours.sendall(b'{"execute":"qmp_capabilities"}{"execute":"quit"}')
        assert process.wait(hang_limit()) == 0


@test
def descriptors_that_can_not_be():
    for option in ("--qmp", "--kvm", "--userfaultfd"):
        elastic = ["-e", "128M"]
        for where, word in (("fd:", "number"), ("fd:x", "number"), ("fd:-1", "number"),
                            ("fd:99999999999999999999", "number"), ("fd:2", "standard file"),
                            ("fd:77", "leave it open")):
            fails(*CONSOLE, *elastic, option, where, "--qmp=/tmp/no" if option != "--qmp" else
                  "--kvm=/dev/kvm", words=[option, where, word])
    with open("/dev/null", "rb") as null:
        fd = null.fileno()
        fails(*CONSOLE, "--qmp", f"fd:{fd}", pass_fds=[fd], words=["control socket"])
        fails(*CONSOLE, "--kvm", f"fd:{fd}", pass_fds=[fd], words=[f"fd:{fd} is not KVM"])
        fails(*CONSOLE, "-e", "128M", "--userfaultfd", f"fd:{fd}", "--qmp=/tmp/no", pass_fds=[fd],
              words=["userfaultfd", "another device"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
        fails(*CONSOLE, "--qmp", f"fd:{datagram.fileno()}", pass_fds=[datagram.fileno()],
              words=["no stream socket"])
    fails(*CONSOLE, "--kvm", "/nonexistent", words=["/nonexistent: not there"])
    fails(*CONSOLE, "-e", "128M", "--userfaultfd", "/nonexistent", "--qmp=/tmp/no",
          words=["--userfaultfd /nonexistent", "No such file"])


@test
def a_user_without_rights_runs_a_guarded_vm_on_devices_handed_over():
    if os.getuid() != 0:
        skip("needs root to become somebody else")
    if not os.path.exists("/dev/userfaultfd"):
        skip("this kernel has no /dev/userfaultfd (Linux 6.1)")
    with scratch() as folder, open("/dev/kvm", "r+b", 0) as kvm, \
         open("/dev/userfaultfd", "r+b", 0) as uffd:
        os.chmod(folder, 0o777)
        # Whoever comes from a folder closed to others needs a copy.
        program, kernel = shutil.copy(EBB, folder), shutil.copy(guest("poke"), folder)
        os.chmod(program, 0o755)
        fds = [kvm.fileno(), uffd.fileno()]
        with Run("-k", kernel, "-m", "64M", "-e", "256M,requested=2M", "--qmp", f"{folder}/q",
                 "--kvm", f"fd:{fds[0]}", "--userfaultfd", f"fd:{fds[1]}", command=(program,),
                 pass_fds=fds, user=NOBODY, group=NOBODY, extra_groups=[]) as process:
            qmp = connected(f"{folder}/q")
            wait_until(lambda: qmp.command("__org.ebb_query-resize", device="mem0") and
                       qmp.command("query-memory-devices")[0]["data"]["size"] == 2 * MiB,
                       20, "the first block")
            assert qmp.command("__org.ebb_query-guard")["on"]
            with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
                assert re.search(rf"^Uid:\t{NOBODY}\t", f.read(), re.MULTILINE)
            qmp.command("quit")
            assert process.wait(hang_limit()) == 0


def listen_fds(names, fds, *arguments, wrong_pid=0):
    return Run(*arguments, command=(sys.executable, "-c", LISTEN_FDS, names,
                                    ",".join(map(str, fds)), str(wrong_pid), EBB),
               pass_fds=fds)


@test
def sockets_and_devices_by_the_protocol_of_systemd():
    with scratch() as folder:
        for names, what in (("", "s"), ("ebb@vm.socket", "s"), ("qmp:kvm", "sk"),
                            ("kvm:qmp", "ks")):
            path = f"{folder}/{names}{what}"
            with listener(path) as sock, open("/dev/kvm", "r+b", 0) as kvm:
                fds = [{"s": sock, "k": kvm}[c].fileno() for c in what]
                with listen_fds(names, fds, *CONSOLE) as process:
                    qmp = Qmp(path)
                    with open(f"/proc/{process.pid}/fdinfo/3", encoding="ascii") as f:
                        flags = int(re.search(r"flags:\t(\d+)", f.read()).group(1), 8)
                    assert flags & os.O_CLOEXEC
                    qmp.command("quit")
                    assert process.wait(hang_limit()) == 0


@test
def systemds_own_activator():
    if not shutil.which("systemd-socket-activate"):
        skip("systemd-socket-activate is not installed")
    with scratch() as folder:
        path = f"{folder}/q"
        # Its first connection starts the VM, and waits for it.
        with Run(*CONSOLE, command=("systemd-socket-activate", "-l", path, EBB)) as process:
            qmp = connected(path)
            assert qmp.command("query-status")["status"] == "running"
            qmp.command("quit")
            assert process.wait(hang_limit()) == 0


@test
def descriptors_for_another_process_are_left_alone():
    with scratch() as folder, listener(f"{folder}/q") as sock:
        with listen_fds("", [sock.fileno()], "-k", guest("hello"), "-m", "64M", "--debug-exit",
                        "--qmp", f"{folder}/own", wrong_pid=1) as process:
            assert process.wait(hang_limit()) == 0
        with listen_fds("a:b", [sock.fileno()] * 2, *CONSOLE) as process:
            _, errors = process.communicate(timeout=hang_limit())
            assert process.returncode == 35 and b"second control socket" in errors, errors


# --- readiness

class Manager:
    """What listens on NOTIFY_SOCKET."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        self.socket.settimeout(hang_limit())
        self.env = {"NOTIFY_SOCKET": name}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def until(self, line):
        """Receives up to a message that has LINE; all lines up to there."""
        lines = []
        while line not in lines:
            lines += self.socket.recv(4096).decode().split("\n")
        return lines


@test
def a_service_manager_hears_when_it_runs_pauses_and_ends():
    with scratch() as folder:
        for name in (f"{folder}/notify", f"@ebb-test-{os.getpid()}"):
            with Manager(name) as manager, Vm(*CONSOLE, "--debug-exit", env=manager.env) as vm:
                lines = manager.until("READY=1")
                lines += manager.until(f"MAINPID={vm.pid}") if f"MAINPID={vm.pid}" not in lines \
                    else []
                vm.expect("^ready\r\n")
                vm.qmp.command("stop")
                manager.until("STATUS=paused")
                vm.qmp.command("cont")
                manager.until("STATUS=running")
                vm.signal(signal.SIGTERM)
                lines = manager.until("STOPPING=1")
                assert "READY=1" not in lines and "WATCHDOG=1" not in lines, lines
                assert vm.wait() == 0
        with Manager(f"{folder}/other") as manager, Vm(*CONSOLE, "--paused",
                                                       env=manager.env) as vm:
            assert "STATUS=prelaunch" in manager.until("STATUS=prelaunch")


@test
def a_vm_that_does_not_start_is_never_ready():
    with scratch() as folder, Manager(f"{folder}/n") as manager:
        done = ebb("run", "-k", "/nonexistent", "--qmp", f"{folder}/q",
                   env={**os.environ, **manager.env})
        assert done.returncode == 35
        manager.socket.settimeout(0.1)
        with contextlib.suppress(socket.timeout):
            assert b"READY" not in manager.socket.recv(4096)


@test
def the_watchdog_hears_from_the_loop_until_it_stands_still():
    with scratch() as folder, Manager(f"{folder}/n") as manager:
        env = {**manager.env, "WATCHDOG_USEC": "200000"}
        with Vm(*CONSOLE, env=env) as vm:
            for _ in range(4):
                manager.until("WATCHDOG=1")
            vm.signal(signal.SIGSTOP)
            manager.socket.settimeout(0.5)
            with contextlib.suppress(socket.timeout):
                while True:  # what was under way
                    manager.socket.recv(4096)
            vm.signal(signal.SIGCONT)
            manager.socket.settimeout(hang_limit())
            manager.until("WATCHDOG=1")
        env["WATCHDOG_PID"] = "1"
        with Vm(*CONSOLE, env=env) as vm:
            manager.until("READY=1")
            assert vm.qmp.command("query-status")["status"] == "running"
            vm.qmp.command("quit")
            assert "WATCHDOG=1" not in manager.until("STOPPING=1")


@test
def a_manager_that_is_gone_is_reported_once():
    with Vm(*CONSOLE, "--debug-exit", env={"NOTIFY_SOCKET": "/nonexistent/n"}) as vm:
        vm.expect("^ready\r\n")
        vm.qmp.command("stop")
        vm.qmp.command("cont")
        vm.signal(signal.SIGTERM)
        assert vm.wait() == 0
        assert vm.errors.count(b"NOTIFY_SOCKET /nonexistent/n: ") == 1, vm.errors


# --- pid file and log file

@test
def the_pid_file_lives_as_long_as_the_vm():
    with scratch() as folder:
        path = f"{folder}/pid"
        with Vm(*CONSOLE, "--pid-file", path) as vm:
            vm.expect("^ready\r\n")
            with open(path, encoding="ascii") as f:
                assert f.read() == f"{vm.pid}\n"
            fails(*CONSOLE, "--pid-file", path, "--qmp", f"{folder}/q",
                  words=[path, "in use"])
            with open(path, encoding="ascii") as f:
                assert f.read() == f"{vm.pid}\n"
        assert os.listdir(folder) == []
        fails("-k", "/nonexistent", "--pid-file", path, "--qmp", f"{folder}/q", words=["kernel"])
        assert os.listdir(folder) == []
        with open(path, "w", encoding="ascii") as f:
            f.write("something precious of someone else\n")
        fails(*CONSOLE, "--pid-file", path, "--qmp", f"{folder}/q", words=[path, "another path"])
        with open(path, encoding="ascii") as f:
            assert f.read() == "something precious of someone else\n"
        fails(*CONSOLE, "--pid-file", "/nonexistent/p", "--qmp", f"{folder}/q",
              words=["/nonexistent/p", "No such file"])


@test
def the_name_of_a_killed_vm_is_free_at_once():
    with scratch() as folder:
        env = {**os.environ, "EBB_RUN_DIR": folder}
        arguments = ("--name", "again", "--pid-file", f"{folder}/pid", "--log-file",
                     f"{folder}/log", *CONSOLE)
        for _ in range(3):
            with Run(*arguments, env=env) as process:
                def answers(pid=process.pid):
                    done = ebb("stat", "again", env=env)
                    return f"pid {pid}," in done.stdout.decode()
                wait_until(answers, 30, "the VM")
                process.kill()
                process.wait()
                assert sorted(os.listdir(folder)) == ["again.sock", "log", "pid"]


@test
def the_log_file_is_opened_anew_on_sighup():
    with scratch() as folder:
        path = f"{folder}/log"
        with Vm(*CONSOLE, "--debug-exit", "-p", "button=0", "--log-file", path, "--log-format",
                "json") as vm:
            vm.expect("^ready\r\n")
            os.rename(path, f"{path}.1")
            vm.signal(signal.SIGHUP)
            wait_until(lambda: os.path.exists(path), 20, "a new log file")
            vm.signal(signal.SIGTERM)
            wait_until(lambda: os.stat(path).st_size, 20, "a line in it")
            vm.signal(signal.SIGTERM)
            assert vm.wait() == 143
            assert not vm.errors, vm.errors
            with open(path, encoding="utf-8") as f:
                lines = [json.loads(line) for line in f]
            assert [line["level"] for line in lines] == ["warning"], lines
            assert "power button" in lines[0]["message"] and lines[0]["pid"] == vm.pid, lines
            assert os.stat(f"{path}.1").st_size == 0
    fails(*CONSOLE, "--log-file", "/nonexistent/l", words=["/nonexistent/l", "No such file"])


@test
def why_it_did_not_start_is_on_stderr_and_in_the_log_file():
    with scratch() as folder:
        fails("-k", "/nonexistent", "--log-file", f"{folder}/log", "--qmp", f"{folder}/q",
              words=["kernel /nonexistent"])
        with open(f"{folder}/log", encoding="ascii") as f:
            assert re.fullmatch(r"[\d-]+T[\d:.]+Z \[\d+\] ebb: error: kernel /nonexistent: .*\n",
                                f.read())


# --- a file of options

@test
def a_vm_from_a_file_of_options_alone():
    with scratch() as folder:
        with open(f"{folder}/vm.json", "w", encoding="ascii") as f:
            json.dump({"kernel": guest("hello"), "memory": "64M", "debug-exit": True,
                       "elastic": [{"size": "128M", "id": "more"}], "qmp": f"{folder}/q"}, f)
        done = ebb("run", "--config", f"{folder}/vm.json")
        assert done.returncode == 0 and b"PASS" in done.stdout, done


# --- the example

@test
def the_example_of_the_readme_works():
    with open(f"{ROOT}/vmm/process/README.md", encoding="utf-8") as f:
        section = f.read().split("\n## Embedding Ebb\n")[1].split("\n## ")[0]
    program = "\n".join(line[4:] for line in section.splitlines()
                        if line.startswith("    ") or not line).split("import json", 1)[1]
    with scratch() as folder:
        with open(f"{folder}/example.py", "w", encoding="utf-8") as f:
            f.write("import json" + program)
        done = subprocess.run(
            [sys.executable, f"{folder}/example.py", guest("regrow")], check=False, cwd=folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=hang_limit(),
            env={**os.environ, "PATH": f"{os.path.dirname(EBB)}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stdout.decode()
    assert done.stdout.decode().endswith("mem0 has 128 MiB\nebb ended with 0\n"), done.stdout


main()
