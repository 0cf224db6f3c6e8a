# SPDX-License-Identifier: Apache-2.0
"""`ebb stat --watch`: drawn in place on a terminal, as the README shows it, and plain elsewhere."""
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from screen import Screen  # pylint: disable=wrong-import-position
from tap import main, test  # pylint: disable=wrong-import-position
from terminal import Terminal  # pylint: disable=wrong-import-position
from vm import (EBB, ROOT, MiB, Vm, ebb,  # pylint: disable=wrong-import-position
                guest, hang_limit, wait_until)

DRAWN = b"\x1b[J"  # ends each drawing


def regrow(*arguments, params="touch=0"):
    return Vm("-k", guest("regrow"), "-m", "64M", "-e", "512M", "-n", "vm", "-p", params,
              *arguments)


def watch(vm, rows=24, columns=80):
    return Terminal(EBB, "stat", vm.qmp_path, "--watch=0.2", size=(rows, columns))


def draws(client, holds=lambda shown: True):
    """Waits for a drawing that HOLDS; what is on the screen then."""
    def drawn():
        client.pump(0.05)
        end = client.output.rfind(DRAWN)
        shown = Screen(client.rows, client.columns).feed(
            client.output[:end + len(DRAWN)]).visible()
        return shown if end >= 0 and holds(shown) else None
    return wait_until(drawn, 30, "a drawing")


def shape(line):
    """A line without its numbers, and how far a row of a table reaches."""
    text = re.sub(r"\d[\d.]*( (B|[KMGT]iB)\b)?", "#", line)
    text = re.sub(r"\bconsole: .*", "console: *", text)
    text = text.replace(" (no driver)", "")  # of this guest for its balloon
    row = line.startswith(("memory ", "boot ", "mem0 "))
    return re.sub(" +", " ", text), len(line) if row else None


@test
def it_is_drawn_in_place_and_as_the_readme_shows_it():
    with regrow() as vm:
        vm.expect("^size 0\r\n")
        with watch(vm) as client:
            first = draws(client)
            assert client.is_raw()
            assert vm.resize_wait(256 * MiB)["state"] == "done"
            shown = draws(client, lambda shown: "  resize done" in shown)
            # One block, where the first one was.
            assert shown[0].startswith("vm: running, pid ") and shown[0].endswith("/s"), shown
            assert len(shown) == len(first) + 1, (first, shown)
            assert all(len(line) < 80 for line in shown), shown
            assert re.split(r"\s{2,}", shown[3])[:4] == ["mem0", "512 MiB", "256 MiB", "256 MiB"], \
                shown
            assert shown[4] == "  resize done", shown
            assert shown[-1] == "", shown  # the cursor's line
            print("# " + "\n# ".join(shown), flush=True)
            with open(f"{ROOT}/vmm/cli/README.md", encoding="utf-8") as f:
                block = re.search(r"\n    \$ ebb stat vm --watch\n((?:    .*\n)+)", f.read())
            readme = [line[4:] for line in block.group(1).splitlines()]
            assert [shape(line) for line in readme] == [shape(line) for line in shown[:-1]], \
                (readme, shown)
            client.send("q")
            client.restored(0)


@test
def a_small_terminal_shows_what_fits():
    with regrow() as vm:
        vm.expect("^size 0\r\n")
        with watch(vm, rows=9, columns=40) as client:
            shown = draws(client, lambda shown: "/s" in "".join(shown[:3]))  # not the first
            assert len(shown) == 9 and shown[0].startswith("vm: running"), shown
            assert all(len(line) < 40 for line in shown), shown
            assert shown[1].startswith("    "), shown  # goes on below, indented
            client.send("\x03")
            client.restored(0)


@test
def the_terminal_is_as_it_was_however_it_ends():
    with regrow() as vm:
        vm.expect("^size 0\r\n")
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129),
                             (signal.SIGKILL, -9)):
            with watch(vm) as client:
                draws(client)
                assert client.is_raw()
                client.signal(number)
                client.restored(code)
        with watch(vm) as client:
            draws(client)
            vm.qmp.command("quit")
            client.restored(0)
        assert vm.wait() == 0


def lines_of(vm, *arguments, number=signal.SIGTERM):
    """The output until three intervals are there."""
    process = subprocess.Popen([EBB, "stat", vm.qmp_path, "--watch=0.1", *arguments],
                               stdout=subprocess.PIPE)
    head = b""
    while head.count(b"\nguarded ") + head.count(b"}\n") < 3:
        data = os.read(process.stdout.fileno(), 65536)
        assert data, head
        head += data
    process.send_signal(number)
    rest, _ = process.communicate(timeout=hang_limit())
    assert process.returncode == 128 + number, process.returncode
    return (head + rest).decode()


@test
def elsewhere_it_is_plain_text_or_json():
    with regrow() as vm:
        vm.expect("^size 0\r\n")
        text = lines_of(vm)
        assert "\x1b" not in text and "\r" not in text, text
        blocks = text.split("\n\n")
        assert all(b.startswith("vm: running") and "\nguarded " in b for b in blocks[:3]), blocks
        rows = [json.loads(line) for line in lines_of(vm, "--json").splitlines()]
        assert len(rows) >= 3 and all(row["name"] == "vm" for row in rows), rows
        assert rows[2]["exits"] > rows[0]["exits"], rows
        process = subprocess.Popen([EBB, "stat", vm.qmp_path, "-w0.1"], stdout=subprocess.PIPE)
        process.stdout.readline()
        vm.qmp.command("quit")
        process.communicate(timeout=hang_limit())
        assert process.returncode == 0, process.returncode


@test
def intervals_that_can_not_be():
    for value in ("0", "0.05", "-1", "soon", ""):
        done = ebb("stat", "vm", f"--watch={value}")
        assert done.returncode == 35 and b"--watch: '" in done.stderr, (value, done)


main()
