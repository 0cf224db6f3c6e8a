# SPDX-License-Identifier: Apache-2.0
"""The control protocol as clients see it: what the schema says is what comes, actions act, and
neither many clients nor deaf ones cost the VM anything."""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, skip, test  # pylint: disable=wrong-import-position
from vm import EBB, KiB, MiB, Qmp, Vm, ebb, guest, wait_until  # pylint: disable=wrong-import-position

# Sanitizers keep freed memory for a while.
SANITIZED = "-address" in EBB or "-thread" in EBB
COMMANDS = """qmp_capabilities query-version query-commands query-status stop cont system_powerdown
    system_reset quit query-cpus-fast query-cpus balloon query-balloon query-memory-devices
    query-memory-size-summary qom-get qom-set qom-list query-name query-uuid query-kvm
    query-qmp-schema getfd closefd inject-nmi dump-guest-memory query-dump set-action
    human-monitor-command block_resize query-block query-blockstats query-chardev""".split()
EVENTS = """SHUTDOWN RESET POWERDOWN STOP RESUME GUEST_PANICKED MEMORY_DEVICE_SIZE_CHANGE
    DUMP_COMPLETED""".split()


def regrow(*arguments, params="touch=0"):
    return Vm("-k", guest("regrow"), "-m", "64M", "-e", "512M", "-p", params, *arguments)


def sized(file):
    """The options of a disk."""
    file.truncate(MiB)
    return "--disk", file.name


def console(*arguments):
    return Vm("-k", guest("console"), "-m", "64M", *arguments)


def status(vm):
    return vm.qmp.command("query-status")["status"]


def refused(reply, words, kind="GenericError"):
    assert reply.get("error", {}).get("class") == kind and words in reply["error"]["desc"], reply


# --- schema

class Schema:
    """query-qmp-schema, and values held against it."""

    def __init__(self, qmp):
        listed = qmp.command("query-qmp-schema")
        self.entries = {entry["name"]: entry for entry in listed}
        assert len(self.entries) == len(listed), "a name stands there twice"

    def of_kind(self, kind):
        return {n for n, entry in self.entries.items() if entry["meta-type"] == kind}

    def check(self, type_name, value, where):
        entry = self.entries[type_name]
        kind = entry["meta-type"]
        if kind == "builtin":
            fits = {"string": isinstance(value, str), "boolean": isinstance(value, bool),
                    "int": isinstance(value, int) and not isinstance(value, bool),
                    "number": isinstance(value, (int, float)) and not isinstance(value, bool),
                    "value": True}[entry["json-type"]]
            assert fits, f"{where}: {value!r} is no {entry['json-type']}"
        elif kind == "enum":
            assert value in entry["values"], f"{where}: {value!r} is none of {entry['values']}"
        elif kind == "array":
            for i, element in enumerate(value):
                self.check(entry["element-type"], element, f"{where}[{i}]")
        else:
            assert kind == "object", (where, entry)
            members = {m["name"]: m for m in entry["members"]}
            assert set(value) <= set(members), f"{where}: {set(value) - set(members)} unknown"
            for name, member in members.items():
                if name in value:
                    self.check(member["type"], value[name], f"{where}.{name}")
                else:
                    assert "default" in member, f"{where}.{name} is missing"

    def reply(self, qmp, name, **arguments):
        self.check(self.entries[name]["arg-type"],
                   {k.replace("_", "-"): v for k, v in arguments.items()}, f"{name} arguments")
        value = qmp.command(name, **arguments)
        self.check(self.entries[name]["ret-type"], value, name)
        return value

    def events(self, qmp):
        for event in qmp.events:
            self.check(self.entries[event["event"]]["arg-type"], event["data"], event["event"])
        return {event["event"] for event in qmp.events}


@test
def replies_and_events_are_what_the_schema_says():
    with tempfile.NamedTemporaryFile() as disk, \
            regrow("-c", 2, "--agent=on", *sized(disk)) as vm:
        vm.expect(r"^size 0\r\n")
        schema = Schema(vm.qmp)
        replied = set()

        def ask(name, **arguments):
            replied.add(name)
            return schema.reply(vm.qmp, name, **arguments)
        names = {row["name"] for row in ask("query-commands")}
        assert names == schema.of_kind("command"), names ^ schema.of_kind("command")
        assert set(COMMANDS) <= names, set(COMMANDS) - names
        assert schema.of_kind("event") >= set(EVENTS), schema.of_kind("event")
        assert {row["name"] for row in ask("__org.ebb_help")} == names
        for name in schema.of_kind("command"):
            schema.entries[schema.entries[name]["ret-type"]]  # pylint: disable=W0104
        ask("__org.ebb_resize", size=64 * MiB, device="mem0", timeout=3600)
        vm.expect(rf"^size {64 * MiB}\r")
        wait_until(lambda: vm.job()["state"] == "done", 30, "done")
        for name in sorted(n for n in names if n.startswith("query-")):
            ask(name)
        for name in ("__org.ebb_stat", "__org.ebb_query-guard", "__org.ebb_query-resize",
                     "__org.ebb_query-reclaim", "__org.ebb_query-working-set",
                     "__org.ebb_query-agent", "__org.ebb_query-autosize"):
            ask(name)
        ask("__org.ebb_set-autosize", **{"cache-age": 60})
        ask("__org.ebb_query-guard", device="mem0", **{"from": 0})
        for path in ("/", "/machine", "/machine/peripheral", "mem0"):
            ask("qom-list", path=path)
        for row in ask("qom-list", path="/machine/peripheral/mem0"):
            ask("qom-get", path="mem0", property=row["name"])
        ask("qom-set", path="mem0", property="requested-size", value=0)
        vm.expect(r"^size 0\r\n")
        for row in ask("qom-list", path="/machine/peripheral/balloon0"):
            ask("qom-get", path="balloon0", property=row["name"])
        ask("balloon", value=32 * MiB)
        ask("block_resize", device="disk0", size=2 * MiB)
        ask("human-monitor-command", command_line="info numa")
        ask("set-action", reboot="reset", shutdown="poweroff", panic="shutdown")
        ask("__org.ebb_set-violation", action="contain")
        ask("stop")  # before its button is pressed: the guest would power off
        ask("system_powerdown")
        ask("dump-guest-memory", paging=False, protocol="file:/dev/null")
        ask("system_reset")
        ask("cont")
        vm.expect(r"^size 0\r\n")
        ask("query-dump")
        ask("quit")
        event = vm.qmp.event("SHUTDOWN")
        schema.check(schema.entries["SHUTDOWN"]["arg-type"], event["data"], "SHUTDOWN")
        seen = schema.events(vm.qmp)
        assert seen >= {"STOP", "RESUME", "RESET", "POWERDOWN", "DUMP_COMPLETED",
                        "MEMORY_DEVICE_SIZE_CHANGE", "__org.ebb_RESIZE"}, seen
        # What is left needs a descriptor, a job under way, or an interrupt that ends this guest.
        # Or a balloon's driver, which this guest has not.
        assert names - replied == {"qmp_capabilities", "getfd", "closefd", "inject-nmi",
                                   "__org.ebb_cancel-resize", "__org.ebb_reclaim",
                                   "__org.ebb_cancel-reclaim", "__org.ebb_ask-working-set",
                                   "__org.ebb_query-guest-stats"}, names - replied


@test
def the_longest_replies_fit_readers_of_64_kib_lines():
    with Vm("-k", guest("console"), "-m", "64M", "-c", 64,
            *[a for i in range(8) for a in ("-e", f"128M,id=a-rather-long-name-number-{i}")]) as vm:
        vm.expect("^ready\r\n")
        for name in ("query-qmp-schema", "query-commands", "__org.ebb_help", "query-cpus",
                     "query-memory-devices", "__org.ebb_stat", "__org.ebb_query-guard"):
            vm.qmp.socket.sendall(json.dumps({"execute": name}).encode())
            line = b""
            while not line.endswith(b"\r\n"):
                line += vm.qmp.socket.recv(65536)
            assert len(line) < 65536 and b'"return"' in line[:20], (name, len(line))


# --- single commands

@test
def identity_is_what_the_command_line_says():
    uuid = "123e4567-e89b-12d3-a456-426614174000"
    with console("--uuid", uuid.upper(), "-n", "vm-7") as vm:
        assert vm.qmp.command("query-uuid") == {"UUID": uuid}
        assert vm.qmp.command("query-name") == {"name": "vm-7"}
    done = ebb("run", "-k", guest("console"), "--uuid", "7")
    assert done.returncode == 35 and b"uuidgen" in done.stderr, done


@test
def people_read_what_they_know_from_qemu():
    with regrow("-c", 3) as vm:
        vm.expect(r"^size 0\r\n")
        vm.resize_wait(64 * MiB)
        vm.qmp.command("qom-set", path="mem0", property="requested-size", value=66 * MiB)
        vm.expect(rf"^size {66 * MiB}\r")

        def say(line):
            return vm.qmp.command("human-monitor-command", command_line=line)
        address = vm.qmp.command("qom-get", path="mem0", property="memaddr")
        assert say("info status") == "VM status: running\r\n"
        assert say("info numa") == ("1 nodes\r\nnode 0 cpus: 0 1 2\r\nnode 0 size: 130 MB\r\n"
                                    "node 0 plugged: 66 MB\r\n")
        assert say("info memory-devices") == (
            f'Memory device [virtio-mem]: "mem0"\r\n  memaddr: {address:#x}\r\n  node: 0\r\n'
            f"  requested-size: {66 * MiB}\r\n  size: {66 * MiB}\r\n  max-size: {512 * MiB}\r\n"
            f"  block-size: {2 * MiB}\r\n  memdev: /objects/mem0\r\n")
        vm.qmp.command("stop")
        assert say("info status") == "VM status: paused\r\n"
        assert say("info pci").startswith("unknown command: 'info pci'")
    with console("--paused") as vm:
        assert vm.qmp.command("human-monitor-command", command_line="info status") == (
            "VM status: paused (prelaunch)\r\n")


@test
def a_device_that_is_not_there_is_of_class_DeviceNotActive():
    with console("--balloon=off") as vm:
        refused(vm.qmp.raw("balloon", value=64 * MiB), "balloon", "DeviceNotActive")
        refused(vm.qmp.raw("query-balloon"), "balloon", "DeviceNotActive")
        refused(vm.qmp.raw("qom-get", path="/machine/peripheral/balloon0",
                           property="guest-stats"), "balloon0", "DeviceNotFound")
        refused(vm.qmp.raw("qom-list", path="/machine/nosuch"), "nosuch", "DeviceNotFound")


@test
def sizes_that_are_none_change_nothing():
    with regrow() as vm:
        vm.expect(r"^size 0\r\n")
        vm.qmp.command("qom-set", path="mem0", property="requested-size", value=64 * MiB)
        for text, words in (("-1", "out of range"), ("-2097152", "out of range"),
                            ("99999999999999999999", "out of range"),
                            ("18446744073709551615", "out of range"),
                            ("9223372036854775808", "out of range"),
                            ("1e400", "must be an integer"), ("2097152.0", "must be an integer"),
                            ('"64M"', "not a string"), ("null", "must be an integer"),
                            ("[2097152]", "must be an integer"), ("3", "(0x200000)"),
                            (str(514 * MiB), f"({512 * MiB:#x})")):
            for command in ('{"execute":"qom-set","arguments":{"path":"mem0",'
                            '"property":"requested-size","value":%s}}',
                            '{"execute":"__org.ebb_resize","arguments":{"device":"mem0",'
                            '"size":%s}}'):
                vm.qmp.socket.sendall((command % text).encode())
                reply = vm.qmp.receive()
                while "event" in reply:
                    reply = vm.qmp.receive()
                refused(reply, words)
        assert vm.qmp.command("qom-get", path="mem0", property="requested-size") == 64 * MiB
        vm.expect(rf"^size {64 * MiB}\r")


@test
def an_nmi_reaches_the_guest_also_when_it_was_paused():
    for pause in (False, True):
        with regrow("-c", 2) as vm:
            vm.expect("^size 0\r\n")
            if pause:
                vm.qmp.command("stop")
            vm.qmp.command("inject-nmi")
            if pause:
                assert not vm.pump(0.2)
                vm.qmp.command("cont")
            vm.expect("^FAIL .* exception 2 ")


# --- actions

def rebooter():
    return Vm("-k", guest("reboot"), "-m", "64M", "-e", "512M", "-p", "wait=1")


@test
def a_reboot_can_be_made_to_end_the_vm():
    with rebooter() as vm:
        vm.expect(r"^boot 0\r")
        vm.qmp.command("set-action", reboot="shutdown")
        vm.send("r")
        assert vm.qmp.event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-reset"}
        assert vm.wait() == 32
    with Vm("-k", guest("reboot"), "-m", "64M", "-e", "512M", "-p", "wait=1", "--no-reboot") as vm:
        vm.expect(r"^boot 0\r")
        vm.qmp.command("set-action", reboot="reset")
        vm.send("r")
        vm.qmp.event("RESET")
        vm.expect(r"^boot 0\r")


@test
def a_guest_that_powers_off_can_be_kept_and_booted_again():
    with console() as vm:
        vm.expect("^ready\r\n")
        vm.qmp.command("set-action", shutdown="pause")
        vm.qmp.command("system_powerdown")
        assert vm.qmp.event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-shutdown"}
        vm.qmp.event("STOP")
        assert vm.qmp.command("query-status") == {"running": False, "singlestep": False,
                                                  "status": "shutdown"}
        refused(vm.qmp.raw("cont"), "system_reset")
        vm.qmp.command("system_reset")
        assert status(vm) == "prelaunch"
        vm.qmp.command("cont")
        vm.expect("^ready\r\n")
        vm.qmp.command("set-action", shutdown="poweroff")
        vm.qmp.command("system_powerdown")
        assert vm.wait() == 0


@test
def a_guest_that_crashes_can_be_kept_and_looked_at():
    with Vm("-k", guest("triple"), "-m", "64M", "--paused") as vm:
        vm.qmp.command("set-action", panic="pause")
        vm.qmp.command("cont")
        assert vm.qmp.event("GUEST_PANICKED")["data"] == {"action": "pause"}
        vm.qmp.event("STOP")
        assert status(vm) == "guest-panicked"
        refused(vm.qmp.raw("cont"), "crashed")
        path = os.path.join(vm.folder, "core")
        vm.qmp.command("dump-guest-memory", paging=False, protocol="file:" + path)
        assert os.path.getsize(path) > 64 * MiB
        assert status(vm) == "guest-panicked"
        vm.qmp.command("system_reset")
        vm.qmp.command("set-action", panic="exit-failure")
        vm.qmp.command("cont")
        assert vm.qmp.event("GUEST_PANICKED")["data"] == {"action": "poweroff"}
        assert vm.qmp.event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-panic"}
        assert vm.wait() == 33


@test
def an_action_without_its_device_changes_none():
    with rebooter() as vm:
        vm.expect(r"^boot 0\r")
        refused(vm.qmp.raw("set-action", reboot="shutdown", watchdog="reset"), "watchdog",
                "DeviceNotActive")
        refused(vm.qmp.raw("set-action", panic="none"), "pause|shutdown|exit-failure")
        vm.send("r")
        vm.expect(r"^boot 0\r")


# --- clients

def field(vm, key):
    with open(f"/proc/{vm.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * KiB for line in f if line.startswith(key + ":"))


def nr_fds(vm):
    return len(os.listdir(f"/proc/{vm.pid}/fd"))


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return s


@test
def a_hundred_clients_and_a_deaf_one_leave_the_vm_as_it_is():
    with regrow() as vm:
        vm.expect(r"^size 0\r\n")
        vm.qmp.command("query-status")
        fds, memory = nr_fds(vm), field(vm, "RssAnon")
        deaf = Qmp(vm.qmp_path)
        deaf.socket.setblocking(False)
        request = b'{"execute":"query-qmp-schema"}' * 64
        sent = 0
        idle = 0
        while idle < 10:
            try:
                sent += deaf.socket.send(request)
                idle = 0
            except BlockingIOError:
                vm.qmp.command("query-status")  # the server has had its turn
                idle += 1
            assert sent < 64 * MiB, "the server reads without end"
        many = [connect(vm.qmp_path) for _ in range(100)]
        words = [s.recv(65536) for s in many]
        # 64 at once: this one, the deaf one and 62 of the hundred.
        assert sum(b'"QMP"' in w for w in words) == 62, words
        assert sum(b"64 clients" in w for w in words) == 38, words
        assert vm.resize_wait(64 * MiB)["state"] == "done"
        assert vm.resize_wait(0)["state"] == "done"
        assert nr_fds(vm) == fds + 63
        # Its own backlog and a session for each; nothing for what the deaf one has asked and
        # not fetched.
        grown = field(vm, "RssAnon") - memory
        if not SANITIZED:
            assert grown < 63 * 16 * KiB + 4 * 64 * KiB, grown
        deaf.close()
        for s in many:
            s.close()
        wait_until(lambda: nr_fds(vm) == fds, 20, "their descriptors are closed")
        assert vm.resize_wait(32 * MiB)["state"] == "done"


@test
def descriptors_of_clients_do_not_stay():
    with console() as vm:
        vm.expect("^ready\r\n")
        vm.qmp.command("query-status")
        fds = nr_fds(vm)
        null = os.open("/dev/null", os.O_RDONLY)
        for amount in (0, 1, 253):
            client = Qmp(vm.qmp_path)
            socket.send_fds(client.socket, [b'{"execute":"query-status"}'], [null] * amount)
            assert client.receive()["return"]["running"]
            assert nr_fds(vm) <= fds + 2
            client.close()
        wait_until(lambda: nr_fds(vm) == fds, 20, "all of them are closed")
        os.close(null)


# --- dumps

def elf_segments(path):
    """[(physical address, bytes, offset)] of the PT_LOADs."""
    out = subprocess.run(["readelf", "-lW", path], check=True, stdout=subprocess.PIPE,
                         text=True).stdout
    rows = (line.split() for line in out.splitlines())
    return [(int(row[3], 16), int(row[4], 16), int(row[1], 16)) for row in rows
            if row and row[0] == "LOAD"]


def same(path, offset, memfd, at, size):
    """Whether SIZE bytes of two files are equal; the memfd's holes are not touched by read()."""
    with open(path, "rb") as a, open(memfd, "rb") as b:
        a.seek(offset)
        b.seek(at)
        while size:
            step = min(size, MiB)
            if a.read(step) != b.read(step):
                return False
            size -= step
    return True


@test
def a_dump_is_the_memory_and_nothing_that_is_unplugged():
    with regrow("-c", 2, params="touch=1") as vm:
        vm.expect(r"^size 0\r\n")
        vm.resize_wait(48 * MiB)
        vm.resize_wait(32 * MiB)
        vm.qmp.command("stop")
        path = os.path.join(vm.folder, "core")
        before = vm.resident("ebb-boot"), vm.resident()
        assert vm.qmp.command("dump-guest-memory", paging=False, protocol="file:" + path) == {}
        size = os.path.getsize(path)
        assert vm.qmp.event("DUMP_COMPLETED")["data"] == {
            "result": {"status": "completed", "completed": size, "total": size}}
        assert vm.qmp.command("query-dump")["status"] == "completed"
        address = vm.qmp.command("qom-get", path="mem0", property="memaddr")
        segments = elf_segments(path)
        assert [s[:2] for s in segments] == [(0, 64 * MiB), (address, 32 * MiB)], segments
        assert same(path, segments[0][2], vm.memfd("ebb-boot"), 0, 64 * MiB)
        assert same(path, segments[1][2], vm.memfd("ebb-mem0"), 0, 32 * MiB)
        # Untouched memory stays so, and takes no place in the file.
        assert (vm.resident("ebb-boot"), vm.resident()) == before
        held = os.stat(path).st_blocks * 512
        assert held <= sum(before) + 64 * KiB, (held, before)
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert status(vm) == "paused"
        assert "RESUME" not in [event["event"] for event in vm.qmp.events]
        vm.qmp.command("cont")
        assert vm.resize_wait(0)["state"] == "done"  # verified by the guest


@test
def a_debugger_reads_a_dump():
    if not shutil.which("gdb"):
        skip("no gdb (package gdb)")
    with regrow("-c", 2) as vm:
        vm.expect(r"^size 0\r\n")
        vm.resize_wait(64 * MiB)
        vm.expect(rf"^size {64 * MiB}\r")  # the guest knows it later than the host
        path = os.path.join(vm.folder, "core")
        vm.qmp.command("dump-guest-memory", paging=False, protocol="file:" + path)
        vm.qmp.event("STOP")
        vm.qmp.event("RESUME")
        out = subprocess.run(
            ["gdb", "-q", "-nx", "-batch", "-ex", "info threads", "-ex", "thread 1",
             "-ex", "info symbol $rip", "-ex", "print plugged", guest("regrow"), path],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        assert "LWP 1" in out and "LWP 2" in out and "in section .text" in out, out
        assert f"= {64 * MiB}" in out, out


@test
def a_dump_into_a_pipe_waits_for_its_reader_alone():
    with regrow() as vm:
        vm.expect(r"^size 0\r\n")
        other = Qmp(vm.qmp_path)
        other.command("query-status")
        read_end, write_end = os.pipe()
        socket.send_fds(vm.qmp.socket, [b'{"execute":"getfd","arguments":{"fdname":"out"}}'],
                        [write_end])
        assert vm.qmp.receive() == {"return": {}}
        os.close(write_end)
        vm.qmp.socket.sendall(b'{"execute":"dump-guest-memory","arguments":{"paging":false,'
                              b'"protocol":"fd:out"},"id":1}{"execute":"query-status","id":2}')
        other.event("STOP")
        # The dump stands at a full pipe, its client waits; the others do not.
        progress = other.command("query-dump")
        assert progress["status"] == "active" and progress["completed"] < MiB, progress
        refused(other.raw("cont"), "a dump is being written")
        refused(other.raw("dump-guest-memory", paging=False, protocol="file:/dev/null"),
                "a dump is being written")
        total = progress["total"]
        got = bytearray()
        while len(got) < total:
            data = os.read(read_end, MiB)
            assert data, (len(got), total)
            got += data
        assert os.read(read_end, 1) == b"" and got.startswith(b"\x7fELF")
        os.close(read_end)
        replies = [vm.qmp.receive() for _ in range(5)]
        names = [r.get("event") or r["id"] for r in replies]
        assert names == ["STOP", "DUMP_COMPLETED", 1, "RESUME", 2], replies
        assert replies[2] == {"return": {}, "id": 1} and replies[4]["return"]["running"], replies
        other.close()


def dump_to_stuck_pipe(vm, client):
    """A detached dump that stands at a full pipe; its read end."""
    read_end, write_end = os.pipe()
    socket.send_fds(client.socket, [b" "], [write_end])
    os.close(write_end)
    client.command("getfd", fdname="out")
    client.command("dump-guest-memory", paging=False, protocol="fd:out", detach=True)
    assert vm.qmp.command("query-dump")["status"] == "active"
    return read_end


@test
def what_ends_a_dump_early_is_told():
    with regrow() as vm:
        vm.expect(r"^size 0\r\n")
        client = Qmp(vm.qmp_path)
        assert status(vm) == "running"
        fds = nr_fds(vm)
        read_end = dump_to_stuck_pipe(vm, client)
        vm.qmp.command("system_reset")
        event = vm.qmp.event("DUMP_COMPLETED")["data"]
        assert event["result"]["status"] == "failed" and "reset" in event["error"], event
        vm.expect(r"^size 0\r\n")
        os.close(read_end)
        # The reader goes: the VM runs on.
        vm.qmp.events.clear()
        os.close(dump_to_stuck_pipe(vm, client))
        event = vm.qmp.event("DUMP_COMPLETED")["data"]
        assert event["result"]["status"] == "failed" and "Broken pipe" in event["error"], event
        vm.qmp.event("RESUME")
        assert vm.qmp.command("query-dump")["status"] == "failed" and status(vm) == "running"
        # Told to stop meanwhile, it stays where it is.
        read_end = dump_to_stuck_pipe(vm, client)
        vm.qmp.command("stop")
        os.close(read_end)
        vm.qmp.event("DUMP_COMPLETED")
        assert status(vm) == "paused"
        vm.qmp.command("cont")
        assert nr_fds(vm) == fds
        # The VM ends: whoever waits hears of it.
        read_end, write_end = os.pipe()
        socket.send_fds(client.socket, [b" "], [write_end])
        os.close(write_end)
        client.command("getfd", fdname="out")
        client.events.clear()
        client.socket.sendall(b'{"execute":"dump-guest-memory","arguments":{"paging":false,'
                              b'"protocol":"fd:out"}}')
        wait_until(lambda: vm.qmp.command("query-dump")["status"] == "active", 20, "dump")
        vm.qmp.command("quit")
        message = client.receive()
        while "error" not in message:
            message = client.receive()
        refused(message, "the VM has ended")
        assert vm.wait() == 0
        client.close()
        os.close(read_end)


@test
def a_dump_that_can_not_be_is_refused_and_the_vm_runs_on():
    with console() as vm:
        vm.expect("^ready\r\n")

        def dump(protocol, **more):
            more = {"paging": False, "protocol": protocol, **more}
            return vm.qmp.raw("dump-guest-memory", **more)
        refused(dump("/tmp/core"), "'file:' or 'fd:'")
        refused(dump("fd:nosuch"), "'nosuch' not found")
        refused(dump("file:/nosuch/core"), "/nosuch/core: No such file")
        refused(dump("file:/dev/null", paging=True), "paging is not supported")
        refused(dump("file:/dev/null", format="kdump-zlib"), "take elf")
        os.mkfifo(os.path.join(vm.folder, "fifo"))
        refused(dump("file:" + os.path.join(vm.folder, "fifo")), "No such device")
        assert not vm.qmp.events
        refused(dump("file:/dev/full"), "No space left")
        assert vm.qmp.event("DUMP_COMPLETED")["data"]["result"]["status"] == "failed"
        vm.qmp.event("RESUME")
        vm.send("a")
        vm.expect("^got 61")


main()
