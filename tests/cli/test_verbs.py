# SPDX-License-Identifier: Apache-2.0
"""The verbs that talk to a running VM, as a user types them."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import (EBB, MiB, Vm, ebb, guest,  # pylint: disable=wrong-import-position
                hang_limit, wait_until)

# Those with a VM, and all.
VM_VERBS = ("stat", "resize", "balloon", "reclaim", "autosize", "working-set", "guard", "pause",
            "resume", "reset", "powerdown", "stop", "console", "dump")
VERBS = ("run", "list", *VM_VERBS, "doctor", "completion", "man", "version")
OPTIONS = {
    "run": ("kernel", "initrd", "params", "memory", "elastic", "max", "min", "reserve", "grow-rate",
            "cache-age", "agent", "disk", "cpus", "guard", "violation",
            "huge", "balloon", "deflate-on-oom", "free-page-reporting", "free-page-hinting",
            "working-set", "rng", "name", "uuid", "qmp", "console", "hvc", "port", "background",
            "paused", "no-reboot", "panic", "timeout", "debug-exit", "loglevel", "log-file",
            "log-format", "pid-file", "kvm", "userfaultfd", "config", "print-config"),
    "list": (), "stat": ("json", "watch"), "resize": ("wait", "timeout", "device", "cancel"),
    "balloon": ("wait", "timeout", "cancel"), "reclaim": ("wait", "timeout", "cancel"),
    "autosize": ("min", "max", "ceiling", "rate", "cache-age", "json"),
    "working-set": ("node", "host", "json"),
    "guard": ("violation", "map", "json"),
    "pause": (), "resume": (), "reset": (), "powerdown": (), "stop": ("timeout", "force"),
    "console": ("hvc",), "dump": ("force",),
    "doctor": ("json",), "completion": (), "man": (), "version": (),
}


def console(*arguments, params=""):
    return Vm("-k", guest("console"), "-m", "64M", "--debug-exit", "-p", params, *arguments)


def regrow(*arguments, params=""):
    return Vm("-k", guest("regrow"), "-m", "64M", "-e", "512M", "-p", params, *arguments)


def succeeds(*arguments, **options):
    done = ebb(*arguments, **options)
    assert done.returncode == 0 and not done.stderr, (arguments, done)
    return done.stdout.decode()


def fails(code, *arguments, words=(), **options):
    done = ebb(*arguments, **options)
    errors = done.stderr.decode()
    assert done.returncode == code, (arguments, done)
    assert errors.count("\n") == 1 and errors.startswith("ebb: error: "), (arguments, errors)
    for word in words:
        assert word in errors, (arguments, word, errors)


def requested(vm):
    return vm.qmp.command("qom-get", path="mem0", property="requested-size")


# --- help

@test
def help_of_every_verb_names_every_option():
    assert set(OPTIONS) == set(VERBS)
    top = succeeds("--help")
    assert top == succeeds("help") == succeeds("-h")
    for verb in VERBS:
        assert re.search(rf"^  {verb} +\w", top, re.MULTILINE), (verb, top)
        text = succeeds(verb, "--help")
        assert text == succeeds(verb, "-h") and text.startswith(f"Usage: ebb {verb}"), text
        named = re.findall(r"^ +(?:-\w,|  ) +--([\w-]+)", text, re.MULTILINE)
        assert sorted(named) == sorted(OPTIONS[verb] + ("help",)), (verb, named)
        # Every option of the help is taken, and no other.
        for option in OPTIONS[verb]:
            done = ebb(verb, f"--{option}", "--help")
            assert b"unknown option" not in done.stderr, (verb, option, done)


@test
def the_verbs_that_exist_are_the_verbs_of_the_help():
    listed = re.findall(r"^  ([\w-]+) ", succeeds("--help"), re.MULTILINE)
    assert listed == [*VERBS], listed
    assert re.fullmatch(r"ebb \d+\.\d+\S*\n", succeeds("version"))
    assert succeeds("--version") == succeeds("-V") == succeeds("version")


@test
def without_a_verb_the_help_goes_to_stderr():
    done = ebb()
    assert done.returncode == 35 and b"Usage: ebb VERB" in done.stderr and not done.stdout, done


@test
def a_verb_needs_its_vm():
    for verb in VM_VERBS:
        fails(35, verb, words=[verb])
        fails(35, verb, "/nonexistent/q", *["1G"][:verb == "resize"], words=["/nonexistent/q"])
        fails(35, verb, "a", "b", "c", words=["word too many", f"{verb} --help"])
        fails(35, verb, "--frob", "a", words=["unknown option --frob", f"{verb} --help"])
    fails(35, "stat", "no-such-vm", words=["no-such-vm"])
    fails(35, "list", "a", words=["'a'"])
    with console("-e", "128M") as vm:
        vm.expect("^ready\r\n")
        fails(35, "resize", vm.qmp_path, words=["a size"])
        fails(35, "resize", vm.qmp_path, "1G", "--cancel", words=["no size"])
    for verb in ("resize", "stop"):
        fails(35, verb, "a", *["1G"][:verb == "resize"], "--timeout", "soon", words=["'soon'"])
        fails(35, verb, "a", "--timeout", words=["--timeout needs S"])


@test
def doctor_finds_nothing_bad_where_vms_run():
    with tempfile.TemporaryDirectory(prefix="ebb-test-") as folder:
        env = {**os.environ, "EBB_RUN_DIR": folder}
        assert json.loads(succeeds("doctor", "--json", env=env))["can-run"]
        lines = {line.split()[1]: line.split()[0] for line in
                 succeeds("doctor", env=env).splitlines() if line[0] != " "}
        assert lines["kvm"] == lines["guard"] == lines["sockets"] == "ok", lines


# --- guard

def poke(*arguments):
    """One block plugged, ready to touch the next one (see guests/poke.c)."""
    vm = Vm("-k", guest("poke"), "-m", "64M", "--debug-exit", "-e", "256M,requested=2M", *arguments)
    vm.expect("^ready\r\n")
    return vm


@test
def guard_and_stat_show_what_the_guest_did_to_memory_it_gave_back():
    with poke() as vm:
        assert "guarded (contain): 0 violations, 0 B resident" in succeeds("stat", vm.qmp_path)
        vm.send("r")
        vm.expect("^read 0x0, 1\r\n")
        vm.send("w")
        vm.expect("^wrote, 2\r\n")
        whole = json.loads(succeeds("guard", vm.qmp_path, "--json"))
        region = whole["regions"][0]
        # One each; more where the vCPU comes back to an answer that is over (a loaded machine).
        assert whole["on"] and region["reads"] >= 1 and region["writes"] >= 1, whole
        assert region["violations"] == region["reads"] + region["writes"], whole
        assert f"guarded (contain): {region['violations']} violations" in \
            succeeds("stat", vm.qmp_path)
        text = succeeds("guard", vm.qmp_path)
        assert text.startswith("guarded, violation=contain, "), text
        counts = f"reads {region['reads']}, writes {region['writes']}"
        assert f"mem0: {region['violations']} violations: {counts}, refused reads 0, " in text
        address = vm.qmp.command("query-memory-devices")[0]["data"]["memaddr"] + 2 * MiB
        assert f"last at {address:#x}" in text, text
        rows = succeeds("guard", vm.qmp_path, "--map", "mem0").splitlines()
        assert rows[-3:] == ["  blocks 0 to 0: plugged", "  blocks 1 to 127: unplugged",
                             f"  block 1: {region['reads']} reads, {region['writes']} writes"]
        fails(1, "guard", vm.qmp_path, "--map", "mem1", words=["mem1"])


@test
def violation_is_chosen_at_run_time():
    with poke() as vm:
        before = vm.resident()
        fails(35, "guard", vm.qmp_path, "--violation", "forgive", words=["contain, pause, kill"])
        assert "violation=pause" in succeeds("guard", vm.qmp_path, "--violation", "pause")
        vm.send("w")
        wait_until(lambda: vm.qmp.command("query-status")["status"] == "paused", 10, "the pause")
        assert "\npaused: " in succeeds("guard", vm.qmp_path)
        assert "\npaused: " in succeeds("stat", vm.qmp_path)
        succeeds("resume", vm.qmp_path)
        vm.expect("^wrote, 1\r\n")
        succeeds("guard", vm.qmp_path, "--violation", "kill")
        # Until what it wrote is gone, another write is no violation.
        wait_until(lambda: vm.resident() == before, 0, "the end of the chunk")
        vm.send("w")
        assert vm.wait() == 37, vm.tail()
        assert b"--violation=kill" in vm.errors, vm.errors


@test
def an_unguarded_vm_says_so():
    with poke("--guard", "off") as vm:
        assert "unguarded: " in succeeds("stat", vm.qmp_path)
        assert succeeds("guard", vm.qmp_path).startswith("unguarded: ")
        fails(1, "guard", vm.qmp_path, "--violation", "kill", words=["--guard=off"])
    fails(35, "run", "-k", guest("hello"), "--guard", "maybe", words=["neither on nor off"])
    fails(35, "run", "-k", guest("hello"), "--violation", "no", words=["contain, pause, kill"])


# --- list and stat

@test
def list_shows_the_living_and_removes_what_the_dead_have_left():
    folder = tempfile.mkdtemp(prefix="ebb-test-")
    env = {**os.environ, "EBB_RUN_DIR": folder}
    running = []
    try:
        assert succeeds("list", env=env) == ""
        for name in ("live", "dead"):
            running.append(subprocess.Popen(
                [EBB, "run", "--name", name, "-k", guest("console"), "-m", "64M"], env=env,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        wait_until(lambda: len(os.listdir(folder)) == 2, 20, "two sockets")
        assert all(os.stat(f"{folder}/{n}").st_mode & 0o777 == 0o600 for n in os.listdir(folder))
        with open(f"{folder}/notes.txt", "w", encoding="ascii"):
            pass
        running[1].kill()
        running[1].wait()
        fails(35, "stat", "dead", env=env, words=["dead"])
        assert succeeds("list", env=env) == "live\n"
        assert sorted(os.listdir(folder)) == ["live.sock", "notes.txt"]
        fails(35, "stat", "dead", env=env, words=["dead"])
        assert succeeds("stat", "live", env=env).startswith("live: running")
        assert ebb("stop", "--force", "live", env=env).returncode == 0
        assert running[0].wait(hang_limit()) == 0
        assert succeeds("list", env=env) == ""
    finally:
        for process in running:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


@test
def stat_shows_what_was_asked_for_and_what_the_host_has():
    with regrow("-e", "256M,id=spare", "--name", "shown") as vm:
        vm.expect("^size 0\r\n")
        assert vm.resize_wait(64 * MiB)["state"] == "done"
        vm.expect(rf"^size {64 * MiB}\r\n")
        lines = succeeds("stat", vm.qmp_path).splitlines()
        assert lines[0].startswith(f"shown: running, pid {vm.pid}, 1 vCPUs, boot number 1, "), lines
        rows = {line.split()[0]: line for line in lines[1:]}
        mem0 = re.split(r"\s{2,}", rows["mem0"])
        assert mem0[:4] == ["mem0", "512 MiB", "64 MiB", "64 MiB"], mem0
        assert "no driver" not in rows["mem0"] and "no driver" in rows["spare"], rows
        assert rows["boot"].split()[1:3] == ["64", "MiB"], rows
        assert "resize done" in "\n".join(lines), lines
        stat = json.loads(succeeds("stat", vm.qmp_path, "--json"))
        elastic = {e["id"]: e for e in stat["elastic"]}
        assert (stat["name"], stat["pid"], stat["cpus"], stat["boots"]) == ("shown", vm.pid, 1, 1)
        assert elastic["mem0"]["plugged"] == elastic["mem0"]["requested"] == 64 * MiB
        assert elastic["mem0"]["resident"] == vm.resident("ebb-mem0"), stat
        assert elastic["spare"]["resident"] == 0 and not elastic["spare"]["driver"]
        # Another page of it may come between the two looks.
        assert abs(stat["boot"]["resident"] - vm.resident("ebb-boot")) <= MiB


# --- resize

@test
def resize_is_the_size_of_the_whole_guest():
    with regrow() as vm:
        vm.expect("^size 0\r\n")
        text = succeeds("resize", vm.qmp_path, "192M", "--wait")
        assert text == "elastic memory 128 MiB, target 128 MiB: done\n", text
        vm.expect(rf"^size {128 * MiB}\r\n")
        assert abs(vm.resident() - 128 * MiB) <= 2 * MiB
        assert succeeds("resize", vm.qmp_path, "64M", "-w") == "elastic memory 0 B, target 0 B: done\n"
        assert vm.resident() <= 2 * MiB


@test
def resize_by_a_difference_starts_from_what_was_asked_for_last():
    with regrow() as vm:
        vm.expect("^size 0\r\n")
        for text, size in (("+64M", 64), ("+0.0625G", 128), ("-32M", 96), ("-96MiB", 0)):
            succeeds("resize", vm.qmp_path, text)
            assert requested(vm) == size * MiB, (text, requested(vm))
        succeeds("resize", vm.qmp_path, "--device", "mem0", "+4M")
        assert requested(vm) == 4 * MiB
        fails(35, "resize", vm.qmp_path, "-128M", words=["-128M"])
        fails(35, "resize", vm.qmp_path, "+16383P", words=["+16383P"])
        assert requested(vm) == 4 * MiB


@test
def resize_of_one_device():
    with regrow("-e", "256M,block=8M") as vm:
        vm.expect("^size 0\r\n")
        succeeds("resize", vm.qmp_path, "64M", "--device=mem1")
        assert vm.job("mem1")["target"] == 64 * MiB and vm.job()["state"] == "none"
        fails(35, "resize", vm.qmp_path, "4M", "-d", "mem1", words=["multiple"])
        fails(35, "resize", vm.qmp_path, "64M", "-d", "mem9", words=["mem9"])


@test
def resize_to_what_can_not_be():
    with regrow() as vm:
        vm.expect("^size 0\r\n")
        for text, word in (("577M", "above the maximum"), ("2T", "above the maximum"),
                           ("32M", "below the boot memory"), ("65M", "multiple"),
                           ("big", "not a size"), ("1Q", "not a size"), ("", "not a size"),
                           ("99999999999999999999", "not a size"), ("--1M", "unknown option")):
            fails(35, "resize", vm.qmp_path, text, words=[word])
        assert requested(vm) == 0 and vm.job()["state"] == "none"
    with console() as vm:
        vm.expect("^ready\r\n")
        fails(35, "resize", vm.qmp_path, "128M", words=["--elastic"])


@test
def resize_that_ends_short_says_why_and_exits_with_1():
    with regrow(params="hold=64M") as vm:
        vm.expect("^size 0\r\n")
        # How far a guest gets in that time is up to the machine: a slow one has more.
        for seconds in (2.5, 10, 40, 160):
            succeeds("resize", vm.qmp_path, "192M", "--wait")
            done = ebb("resize", vm.qmp_path, "64M", "--wait", "--timeout", seconds,
                       seconds=2 * seconds)
            assert done.returncode == 1 and b": short: " in done.stdout, done
            if b"short: the guest stopped after 64 MiB" in done.stdout:
                break
            print(f"# {seconds} s: {done.stdout}", flush=True)
        assert re.fullmatch(rb"elastic memory 64 MiB, target 0 B: short: the guest stopped after 64 MiB, "
                            rb"64 MiB short: .*\n", done.stdout), done


@test
def resize_without_a_driver_says_so():
    with console("-e", "256M") as vm:
        vm.expect("^ready\r\n")
        done = ebb("resize", vm.qmp_path, "+128M", "--wait", "--timeout", "0.5")
        assert done.returncode == 1 and b"short: no virtio-mem driver is ready" in done.stdout, done
        succeeds("resize", vm.qmp_path, "-64M")
        assert "resize running: no virtio-mem driver" in succeeds("stat", vm.qmp_path)


@test
def ctrl_c_cancels_the_resize_that_is_waited_for():
    with regrow(params="hold=64M") as vm:
        vm.expect("^size 0\r\n")
        succeeds("resize", vm.qmp_path, "192M", "--wait")
        process = subprocess.Popen([EBB, "resize", vm.qmp_path, "64M", "--wait"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            vm.expect(rf"^hold {64 * MiB}\r\n")
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=hang_limit())
        finally:
            process.kill()
        assert process.returncode == 130, (process.returncode, output, errors)
        assert b"cancelled" in output and not errors, (output, errors)
        assert vm.job()["state"] == "cancelled" and requested(vm) == 64 * MiB


@test
def resize_cancel():
    with regrow(params="hold=64M") as vm:
        vm.expect("^size 0\r\n")
        fails(1, "resize", vm.qmp_path, "--cancel", words=["no resize is running"])
        succeeds("resize", vm.qmp_path, "128M", "--wait")
        succeeds("resize", vm.qmp_path, "64M")
        waiting = subprocess.Popen([EBB, "resize", vm.qmp_path, "64M", "--wait"],
                                   stdout=subprocess.PIPE)
        wait_until(lambda: vm.job()["id"] == 3, 20, "the third job")
        succeeds("resize", vm.qmp_path, "--cancel")
        output, _ = waiting.communicate(timeout=hang_limit())
        assert waiting.returncode == 1 and b"cancelled" in output, (waiting.returncode, output)


@test
def progress_is_shown_on_a_terminal():
    import pty
    with regrow(params="hold=64M") as vm:
        vm.expect("^size 0\r\n")
        # Drawn several times a second, until its time is over; and so often, until it is cancelled.
        for more, draws, end in (("-t1.5",), 1, b"short"), ((), 6, b"cancelled"):
            succeeds("resize", vm.qmp_path, "192M", "--wait")
            master, slave = pty.openpty()
            process = subprocess.Popen([EBB, "resize", vm.qmp_path, "64M", "-w", *more],
                                       stdout=slave, stderr=slave)
            os.close(slave)
            text = b""
            with contextlib.suppress(OSError):  # how a pseudo terminal says that it ends
                while text.count(b"running") < draws:
                    text += os.read(master, 4096)
                if not more:
                    succeeds("resize", vm.qmp_path, "--cancel")
                while True:
                    text += os.read(master, 4096)
            os.close(master)
            assert process.wait(hang_limit()) == 1
            shown = [line for line in text.split(b"\r") if line.strip()]
            assert len(shown) > draws and b"running" in shown[0] and end in shown[-1], shown
            assert text.count(b"\n") == 1, text


# --- pause, resume, reset, powerdown, stop

@test
def pause_and_resume():
    with console() as vm:
        vm.expect("^ready\r\n")
        succeeds("pause", vm.qmp_path)
        assert ": paused," in succeeds("stat", vm.qmp_path)
        vm.send("a")
        assert not vm.pump(0.3)
        succeeds("resume", vm.qmp_path)
        vm.expect("^got 61\r\n")
        assert ": running," in succeeds("stat", vm.qmp_path)


@test
def reset():
    with console() as vm:
        vm.expect("^ready\r\n")
        succeeds("reset", vm.qmp_path)
        vm.expect("^ready\r\n")
        assert "boot number 2," in succeeds("stat", vm.qmp_path)


@test
def powerdown_returns_at_once():
    with console(params="button=0") as vm:
        vm.expect("^ready\r\n")
        succeeds("powerdown", vm.qmp_path)
        assert vm.process.poll() is None
    with console() as vm:
        vm.expect("^ready\r\n")
        succeeds("powerdown", vm.qmp_path)
        assert vm.wait() == 0


@test
def stop_waits_for_a_guest_that_listens():
    with console() as vm:
        vm.expect("^ready\r\n")
        succeeds("stop", vm.qmp_path)
        vm.expect("^power button\r\n")
        assert vm.wait() == 0


@test
def stop_is_hard_on_one_that_does_not():
    with console(params="button=0") as vm:
        vm.expect("^ready\r\n")
        start = time.monotonic()
        done = ebb("stop", vm.qmp_path, "--timeout", "0.5")
        assert done.returncode == 0 and b"did not power off in time" in done.stderr, done
        assert time.monotonic() - start >= 0.5
        assert vm.wait() == 0


@test
def stop_by_force_asks_nobody():
    for pause in (False, True):
        with console(*["--paused"] * pause) as vm:
            if not pause:
                vm.expect("^ready\r\n")
            wait_until(lambda path=vm.qmp_path: os.path.exists(path), 20, "control socket")
            succeeds("stop", "--force", vm.qmp_path)
            assert vm.wait() == 0
            assert b"power button" not in vm.output


@test
def a_vm_that_does_not_answer_is_reported():
    with console() as vm:
        vm.expect("^ready\r\n")
        vm.signal(signal.SIGSTOP)
        try:
            fails(35, "stat", vm.qmp_path, words=["does not answer"])
        finally:
            vm.signal(signal.SIGCONT)
        succeeds("stat", vm.qmp_path)


@test
def output_that_nobody_takes_is_no_success():
    # A full disk, for example.
    with console() as vm:
        vm.expect("^ready\r\n")
        with open("/dev/full", "wb") as full:
            for arguments in (("stat", vm.qmp_path), ("stat", vm.qmp_path, "--json"),
                              ("run", "--help")):
                done = ebb(*arguments, stdout=full)
                assert done.returncode != 0 and done.stderr.count(b"\n") == 1, (arguments, done)


main()
