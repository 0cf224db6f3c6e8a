# SPDX-License-Identifier: Apache-2.0
"""A VM's life as its user sees it: started in one shell, used from a second one. Both are real
shells on real terminals; at each prompt the terminal must be as it was at the first one."""
import os
import re
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from terminal import Terminal  # pylint: disable=wrong-import-position
from vm import EBB, MiB, Qmp, guest  # pylint: disable=wrong-import-position

PROMPT = r"code (\d+)> "


class Shell(Terminal):
    """An interactive shell that tells the exit code of the last command in its prompt."""

    def __init__(self, folder):
        super().__init__("/bin/sh", "-i", env={
            "PS1": "code $?> ", "EBB_RUN_DIR": folder, "ENV": "",
            "PATH": os.path.dirname(EBB) + ":" + os.environ.get("PATH", "/usr/bin:/bin")})
        self.prompt()

    def prompt(self, seconds=30):
        code = int(self.expect(PROMPT, seconds).group(1))
        self.expect_restored()
        return code

    def type(self, line, code=0):
        """Runs LINE, which must end with CODE; its output."""
        start = self.seen
        self.send(line + "\n")
        ended = self.prompt()
        text = self.output[start:self.seen].decode().replace("\r", "")
        assert ended == code, (line, text)
        return re.sub(PROMPT + "$", "", text.split("\n", 1)[1])

    def end(self):
        self.send("exit\n")
        self.wait()
        self.expect_restored()


def run(folder, options):
    """A shell whose foreground job is the VM `box`."""
    shell = Shell(folder)
    shell.send(f"ebb run -n box -k {guest('regrow')} -m 64M -e 256M --debug-exit {options}\n")
    return shell


@test
def a_whole_session_from_two_shells():
    with tempfile.TemporaryDirectory() as folder, run(folder, "--console=unix") as first, \
            Shell(folder) as second:
        # Nothing to see in the first shell; the second one looks until the VM is there.
        second.type("until ebb list | grep -q box; do sleep 0.1; done")
        assert second.type("ebb list") == "box\n"
        assert second.type("ebb resize box 192M --wait").splitlines()[-1].endswith(
            "elastic memory 128 MiB, target 128 MiB: done")
        assert "mem0              256 MiB      128 MiB      128 MiB" in second.type("ebb stat box")
        second.type("ebb pause box")
        assert second.type("ebb stat box").startswith("box: paused, ")
        second.type("ebb resume box")

        for _ in range(2):  # attached, detached, and once more
            second.send("ebb console box\n")
            second.expect(r"^size 134217728\r\n")
            assert second.is_raw()
            second.send("a\x01\x01\x03")
            second.expect("^got 61\r\ngot 01\r\ngot 03\r\n")
            second.send("\x01d")
            assert second.prompt() == 0

        second.send("ebb console box\n")
        second.expect(r"^got 61\r\n")
        control = Qmp(f"{folder}/box.sock")
        os.kill(control.command("__org.ebb_stat")["console"]["pid"], signal.SIGKILL)
        assert second.prompt() == 137

        second.type("ebb stop box")
        control.close()
        assert first.prompt() == 0
        assert second.type("ebb list") == ""
        assert not os.listdir(folder), os.listdir(folder)


@test
def the_first_shell_gets_its_terminal_back():
    with tempfile.TemporaryDirectory() as folder, Shell(folder) as second:
        for how, code in (("ebb stop box", 0), ("kill {}", 0), ("kill -9 {}", 137)):
            with run(folder, "") as first:
                first.expect(r"^size 0\r\n")
                assert first.is_raw()
                pid = re.search(r"pid (\d+)", second.type("ebb stat box")).group(1)
                refused = second.type("ebb console box", 35)
                assert f"pid {pid}, on {os.ttyname(first.slave)};" in refused, refused
                second.type(how.format(pid))
                assert first.prompt() == code
        second.type("ebb list")
        assert not os.listdir(folder), os.listdir(folder)


@test
def a_dump():
    with tempfile.TemporaryDirectory() as folder, Shell(folder) as shell:
        shell.type(f"ebb run --background -n box -k {guest('regrow')} -m 64M -e 256M")
        try:
            core = f"{folder}/core"
            shown = shell.type(f"ebb dump box {core}")
            assert "MiB of guest memory" in shown, shown
            with open(core, "rb") as f:
                assert f.read(4) == b"\x7fELF"
            assert os.stat(core).st_size >= 64 * MiB
            assert "exists; --force" in shell.type(f"ebb dump box {core}", 35)
            shell.type(f"ebb dump box {core} -f")
            assert shell.type("ebb stat box").startswith("box: running, ")
            os.unlink(core)
        finally:
            shell.type("ebb stop --force box")


main()
