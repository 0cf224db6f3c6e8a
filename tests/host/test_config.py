# SPDX-License-Identifier: Apache-2.0
"""Options from files: what `ebb run --config` takes and refuses, and `--print-config`."""
import json
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import ebb  # pylint: disable=wrong-import-position

# Every option of `run` but those about files: as on the command line, and as in a file.
EVERY = {
    "kernel": ("a \"quoted\" / kérnel", None), "initrd": ("rd", None),
    "params": ("console=ttyS0 a=\"b\\n\"", None), "memory": ("1536M", None),
    "elastic": ("1G,block=4M,id=a", [{"size": "1G", "block": "4M", "id": "a"}]),
    "max": ("4G", None), "min": ("2G", None), "reserve": ("off", None), "grow-rate": ("64M", None),
    "cache-age": ("600", 600), "agent": ("on", True),
    "disk": ("a.img,readonly,serial=x", [{"path": "a.img", "readonly": True, "serial": "x"}]),
    "cpus": ("3", 3), "guard": ("off", False), "violation": ("kill", None), "huge": ("never", None),
    "balloon": ("off", False), "deflate-on-oom": ("off", False),
    "free-page-reporting": ("on", True), "free-page-hinting": ("off", False),
    "working-set": ("on", True), "rng": ("64K", None),
    "name": ("vm", None), "uuid": ("01234567-89ab-cdef-0123-456789abcdef", None),
    "qmp": ("/tmp/q", None), "console": ("pty", None),
    "hvc": ("unix:/tmp/h", None),
    "port": ("a.b,path=/tmp/p", [{"name": "a.b", "path": "/tmp/p"}]),
    "background": (None, True), "paused": (None, True),
    "no-reboot": (None, True), "panic": ("pause", None), "timeout": ("2.5", 2.5), "debug-exit": (None, True), "loglevel": ("info", None),
    "log-file": ("/tmp/l", None), "log-format": ("text", None), "pid-file": ("/tmp/p", None),
    "kvm": ("/dev/kvm", None), "userfaultfd": ("fd:7", None),
}
# What an option is of no use without.
WITH = {"min": {"max": "4G"}, "cache-age": {"agent": True}}
ABOUT_FILES = {"config", "print-config"}


def printed(*arguments):
    done = ebb("run", *arguments, "--print-config")
    assert done.returncode == 0 and not done.stderr, (arguments, done)
    return done.stdout


class File:
    def __init__(self, content):
        self.content = content if isinstance(content, (bytes, str)) else json.dumps(content)

    def __enter__(self):
        fd, self.path = tempfile.mkstemp(prefix="ebb-test-", suffix=".json")
        with os.fdopen(fd, "wb") as f:
            f.write(self.content if isinstance(self.content, bytes) else self.content.encode())
        return self.path

    def __exit__(self, *_):
        os.unlink(self.path)


def refused(content, *words, arguments=()):
    """One line that names the file and has all WORDS; exit code 35."""
    with File(content) as path:
        done = ebb("run", "--config", path, *arguments)
        errors = done.stderr.decode()
        assert done.returncode == 35 and not done.stdout, (content, done)
        assert errors.count("\n") == 1 and path in errors, (content, errors)
        for word in words:
            assert word in errors, (content, word, errors)


def test_options():
    help_text = ebb("run", "--help").stdout.decode()
    return set(re.findall(r"^ +(?:-\w,|  ) +--([\w-]+)", help_text, re.MULTILINE))


@test
def every_option_has_its_key():
    assert test_options() == set(EVERY) | ABOUT_FILES | {"help"}
    for name, (text, value) in EVERY.items():
        expected = text if value is None else value
        option = [f"--{name}"] if text is None else [f"--{name}", text]
        more = WITH.get(name, {})
        for key, word in more.items():
            option += [f"--{key}", "on" if word is True else word]
        out = json.loads(printed(*option, *["-k", "k"][:2 * (name != "kernel")]))
        assert out[name] == expected, (name, out)
        assert out == {"kernel": out["kernel"], name: expected, **more}, out


@test
def what_is_printed_gives_the_same_again():
    words = []
    for name, (text, _) in EVERY.items():
        words += [f"--{name}"] if text is None else [f"--{name}={text}"]
    first = printed(*words, "-e", "2G")
    assert list(json.loads(first)) == list(EVERY), first
    with File(first) as path:
        assert printed("--config", path) == first
        with File(printed("--config", path)) as again:
            assert printed(f"--config={again}") == first
    assert json.loads(printed("-k", "k")) == {"kernel": "k"}  # no defaults, no made-up name


@test
def the_command_line_counts_before_files_and_the_last_file_before_others():
    with File({"kernel": "a", "memory": "1G", "cpus": 2, "elastic": [{"size": "1G"}],
               "paused": True, "guard": False}) as one, \
         File({"memory": "2G", "cpus": 4, "paused": False}) as two:
        out = json.loads(printed("-c", "8", "--config", one, "--config", two))
        assert out == {"kernel": "a", "memory": "2G", "cpus": 8, "elastic": [{"size": "1G"}],
                       "guard": False}, out
        out = json.loads(printed("--config", two, "-e", "4G", "--config", one, "-e", "8G"))
        assert out["elastic"] == [{"size": "4G"}, {"size": "8G"}] and out["paused"], out
        # What does not count need not be right.
        with File({"memory": "much"}) as wrong:
            assert json.loads(printed("--config", wrong, "--config", one))["memory"] == "1G"


@test
def keys_that_are_none():
    refused({"kernal": "k"}, "unknown key 'kernal'", "--help")
    refused({"config": ["x"]}, "unknown key 'config'")
    refused({"print-config": True}, "unknown key 'print-config'")
    refused({"": 1}, "unknown key ''")
    refused({"kernel": "k", "elastic": [{"size": "1G", "frob": "1"}]}, "'frob'", "block")


@test
def keys_that_are_there_twice():
    refused('{"kernel": "a", "kernel": "b"}', "'kernel'", "twice")
    refused('{"kernel": "a", "k\\u0065rnel": "b"}', "'kernel'", "twice")
    refused('{"elastic": [{"size": "1G", "size" : "2G"}]}', "'size'", "twice")
    # The same key in two objects, and a text that is no key.
    with File('{"kernel": "kernel", "elastic": [{"size": "1G"}, {"size": "2G"}]}') as path:
        assert len(json.loads(printed("--config", path))["elastic"]) == 2


@test
def values_of_the_wrong_type():
    for name, (text, value) in EVERY.items():
        wrong = [None, {}, []]
        wrong += [7, True] if value is None else ["7"]
        if name == "cpus":
            wrong += [True]
        for bad in wrong:
            if name in ("elastic", "port", "disk") and bad == []:
                continue  # none at all is a list too
            refused({name: bad}, f"'{name}'", "write ")
    refused({"elastic": {"size": "1G"}}, "'elastic'", "a list")
    refused({"elastic": ["1G"]}, "'elastic'", "an object")
    refused({"elastic": [{"block": "2M"}]}, "'elastic'", "needs the key 'size'")
    refused({"elastic": [{"size": 1024}]}, "'elastic', 'size'", "a text")
    refused({"disk": [{"path": True}]}, "'disk', 'path'", "a text")
    refused({"disk": [{"path": "a", "readonly": "on"}]}, "readonly=on")
    refused({"disk": [{"path": "a", "serial": True}]}, "'serial'")
    refused({"disk": [{"path": "a,b"}]}, "'disk', 'path'", "comma")
    refused({"elastic": [{"size": "1G", "id": "a,id=b"}]}, "'elastic', 'id'", "comma")
    refused({"elastic": [{"size": "1G", "id=a,id": "b"}]}, "'elastic'", "comma")
    refused('{"kernel": "a\\u0000b"}', "'kernel'", "a text")


@test
def values_that_can_not_be_name_file_and_option():
    refused({"kernel": "k", "memory": "much"}, "--memory", "'much'")
    refused({"kernel": "k", "cpus": 65}, "--cpus", "from 1 to 64")
    refused({"kernel": "k", "cpus": 1.5}, "--cpus", "from 1 to 64")
    refused({"kernel": "k", "name": "a b"}, "VM name")
    refused({"kernel": "k", "elastic": [{"size": "1Q"}]}, "--elastic")


@test
def files_that_are_no_configuration():
    refused("", ":1:", "not JSON")
    refused("{", "not JSON")
    refused('{"kernel": "k"', "not JSON")
    refused('{\n\n"kernel": k}', ":3:", "not JSON")
    refused("{'kernel': 'k'}", "not JSON")
    refused('{"kernel": "k",}', "not JSON")
    refused('{"kernel": "k"} {}', "not JSON")
    refused('{"kernel": "k"} // so', "not JSON")
    refused(b'{"kernel": "\xff"}', "not JSON")
    refused("[" * 10000, "not JSON")
    refused('{"a":' * 10, "not JSON")
    refused("[]", "not a JSON object")
    refused('"kernel"', "not a JSON object")
    refused("null", "not a JSON object")
    refused(b" " * ((1 << 20) + 1), "larger than 1 MiB")
    for path, word in (("/nonexistent", "No such file"), ("/", "Is a directory")):
        done = ebb("run", "--config", path)
        assert done.returncode == 35 and word in done.stderr.decode(), done
    done = ebb("run", "--print-config")
    assert done.returncode == 35 and b"no kernel" in done.stderr, done


main()
