# SPDX-License-Identifier: Apache-2.0
"""What the tables of options become besides --help: completion in real shells, the manual page."""
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, skip, test  # pylint: disable=wrong-import-position
from vm import EBB, ebb, hang_limit  # pylint: disable=wrong-import-position

BASH = "bash --norc --noprofile -i"
ZSH = "zsh -f -i"
ZSH_INSTALLED = "zsh -f -i -o NO_BEEP"  # with the file where zsh looks for functions
START = {
    BASH: "bind 'set enable-bracketed-paste off'; bind 'set show-all-if-ambiguous on'\n"
          ". ./bash\n",
    ZSH: "unset zle_bracketed_paste; autoload -U compinit; compinit -u -D; . ./zsh\n",
    ZSH_INSTALLED: "unset zle_bracketed_paste; mv zsh _ebb; fpath=($PWD $fpath); "
                   "autoload -U compinit; compinit -u -D\n",
}


def output(*arguments):
    done = ebb(*arguments)
    assert done.returncode == 0 and not done.stderr, (arguments, done)
    return done.stdout.decode()


def verbs():
    return re.findall(r"^  ([\w-]+) ", output("--help"), re.MULTILINE)


def options(verb):
    return re.findall(r"^ +(?:-\w,|  ) +(--[\w-]+)", output(verb, "--help"), re.MULTILINE)


def arguments(verb):
    """Option -> the name of its argument."""
    return dict(re.findall(r"^ +(?:-\w,|  ) +(--[\w-]+) (\S+)", output(verb, "--help"),
                           re.MULTILINE))


class Shell:
    """An interactive shell that has the completions, in a folder with the VMs `alpha`, `beta` (live
    sockets) and the file `kernel image`."""

    def __init__(self, command):
        if not shutil.which(command.split()[0]):
            skip(f"{command.split()[0]} is not installed")
        self.folder = tempfile.mkdtemp(prefix="ebb-test-")
        self.listeners = []
        for name in ("alpha", "beta"):
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(f"{self.folder}/{name}.sock")
            sock.listen()
            self.listeners.append(sock)
        os.symlink(EBB, f"{self.folder}/ebb")
        for shell in ("bash", "zsh"):
            with open(f"{self.folder}/{shell}", "w", encoding="ascii") as f:
                f.write(output("completion", shell))
        with open(f"{self.folder}/kernel image", "w", encoding="ascii"):
            pass
        env = {**os.environ, "EBB_RUN_DIR": self.folder, "TERM": "dumb", "PS1": "$ ",
               "PATH": f"{self.folder}:{os.environ['PATH']}", "HOME": self.folder}
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(command.split(), stdin=slave, stdout=slave, stderr=slave,
                                        cwd=self.folder, env=env, start_new_session=True)
        os.close(slave)
        self.text = ""
        self.type(START[command] + "echo rea''dy\n")
        self.expect(r"^ready\r?$")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        for sock in self.listeners:
            sock.close()
        shutil.rmtree(self.folder)

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern):
        end = time.monotonic() + hang_limit()
        while not re.search(pattern, self.text, re.MULTILINE):
            assert time.monotonic() < end, (pattern, self.text)
            if select.select([self.master], [], [], 0.2)[0]:
                self.text += os.read(self.master, 4096).decode(errors="replace")

    def completes(self, text, *patterns):
        """TEXT and Tab show each of PATTERNS; the line is then cleared."""
        self.text = ""
        self.type(text + "\t")
        for pattern in patterns:
            self.expect(pattern)
        self.type("\x15")


@test
def completion_in_zsh_once_it_is_installed():
    with Shell(ZSH_INSTALLED) as shell:
        # The first time loads it.
        shell.completes("ebb powe", r"powerdown ")
        shell.completes("ebb stat al", r"stat alpha")


def complete_in(command):
    with Shell(command) as shell:
        shell.completes("ebb powe", r"powerdown ")
        shell.completes("ebb run --print", r"--print-config")
        shell.completes("ebb run --huge al", r"--huge always")
        shell.completes("ebb run --huge=al", r"--huge=always")
        shell.completes("ebb stat al", r"stat alpha")
        shell.completes("ebb stop --force be", r"--force beta")
        shell.completes("ebb resize --timeout 5 be", r"5 beta")
        shell.completes("ebb run -k kern", r"kernel\\ image")
        shell.completes("ebb completion z", r"completion zsh")
        shell.completes("ebb help res", r"\breset\b", r"\bresize\b", r"\bresume\b")


@test
def completion_in_bash():
    complete_in(BASH)


@test
def completion_in_zsh():
    complete_in(ZSH)


@test
def completion_knows_every_verb_and_option():
    script = f". ./bash; COMP_WORDS=(ebb \"$@\"); COMP_CWORD=$#; _ebb; echo \"${{COMPREPLY[*]}}\""
    with tempfile.TemporaryDirectory(prefix="ebb-test-") as folder:
        with open(f"{folder}/bash", "w", encoding="ascii") as f:
            f.write(output("completion", "bash"))

        def completed(*words):
            done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=folder, check=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            return done.stdout.split()
        assert set(verbs()) <= set(completed(""))
        zsh = output("completion", "zsh")
        for verb in verbs():
            assert set(options(verb)) <= set(completed(verb, "-")), verb
            assert f"'{verb}:" in zsh and f"\t{verb})\n" in zsh, verb
            for option, argument in arguments(verb).items():
                assert f"{option}=" in zsh, (verb, option)
                words = [word for word in argument.split("|") if word.islower()]
                if words and "PATH" not in argument:
                    assert completed(verb, option, "") == words, (verb, option)


@test
def completion_of_other_shells_is_refused():
    for words in ((), ("fish",)):
        done = ebb("completion", *words)
        assert done.returncode == 35 and b"bash or zsh" in done.stderr and not done.stdout, done


@test
def the_manual_page_names_every_verb_and_option():
    page = output("man")
    for verb in verbs():
        assert f".SS ebb {verb}" in page, verb
        section = page.split(f".SS ebb {verb}")[1].split("\n.S")[0].replace("\\-", "-")
        for option in set(options(verb)) - {"--help"}:
            assert f"\\fB{option}\\fR" in section, (verb, option)


@test
def the_manual_page_is_well_formed():
    page = output("man").encode()
    for command in (["mandoc", "-Tlint", "-Wwarning"], ["man", "--warnings", "-l", "-"]):
        if not shutil.which(command[0]):
            skip(f"{command[0]} is not installed")
        done = subprocess.run(command, input=page, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"})
        said = done.stderr + (done.stdout if command[0] == "mandoc" else b"")
        assert done.returncode == 0 and not said, (command, done)


@test
def help_of_a_verb_by_both_ways():
    for verb in verbs():
        assert output("help", verb) == output(verb, "--help")
    done = ebb("help", "frob")
    assert done.returncode == 35 and b"unknown verb 'frob'" in done.stderr, done


main()
