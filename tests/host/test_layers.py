# SPDX-License-Identifier: Apache-2.0
"""tests/check_layers tells what is planted into a small tree: of rooms, each a file or two."""
import functools
import os
import platform
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import ROOT  # pylint: disable=wrong-import-position

ARCH = platform.machine()
HEADERS = {
    "vmm/base/log.h": "void log_text(void);\n",
    "vmm/json/scan.h": "void scan(void);\n",
    "vmm/json/error.h": "void error(void);\n",
    "vmm/kvm/vcpu.h": "void vcpu(void);\n",
    "vmm/kvm/arch.h": "void arch(void);\n",
}
SOURCES = {
    "vmm/base/log.c": '#include "vmm/base/log.h"\nvoid log_text(void) {}\n',
    "vmm/json/error.c": '#include "vmm/base/log.h"\n#include "vmm/json/error.h"\n'
                        "void error(void) { log_text(); }\n",
    "vmm/json/scan.c": '#include "vmm/json/error.h"\n#include "vmm/json/scan.h"\n'
                       "void scan(void) { error(); }\n",
    "vmm/kvm/vcpu.c": '#include <linux/kvm.h>\n#include "vmm/kvm/arch.h"\n'
                      '#include "vmm/kvm/vcpu.h"\nvoid vcpu(void) { arch(); }\n',
    f"vmm/kvm/{ARCH}/cpu.c": '#include "vmm/kvm/arch.h"\n#include "vmm/base/log.h"\n'
                             "void arch(void) { log_text(); }\n",
    "vmm/main.c": '#include "vmm/base/log.h"\nint main(void) { log_text(); return 0; }\n',
}
OTHER_ARCH = {"vmm/kvm/other/cpu.c": '#include "vmm/kvm/arch.h"\nvoid arch(void) {}\n'}
MAKEFILE = {"Makefile": "LIB_DIRS := vmm/base vmm/json \\\n            vmm/kvm vmm/kvm/$(ARCH)\n"}
CLEAN = {**HEADERS, **SOURCES, **OTHER_ARCH, **MAKEFILE}


class Tree:
    """A folder with sources and the objects of those that ARCH builds."""

    def __init__(self):
        self.place = tempfile.TemporaryDirectory(prefix="ebb-test-")
        self.objects = f"{self.place.name}/build/{ARCH}-cc"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.place.cleanup()

    def add(self, files):
        for path, text in files.items():
            full = f"{self.place.name}/{path}"
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="ascii") as f:
                f.write(text)
        for path in files:
            if path.endswith(".c") and path not in OTHER_ARCH:
                self.compile(path)

    def object_of(self, path):
        return f"{self.objects}/{path[:-2]}.o"

    def compile(self, path):
        os.makedirs(os.path.dirname(self.object_of(path)), exist_ok=True)
        subprocess.run(["cc", "-I.", "-c", path, "-o", self.object_of(path)], check=True,
                       cwd=self.place.name)

    def check(self):
        """What the check prints, as lines; it fails just when that is something."""
        done = subprocess.run([f"{ROOT}/tests/check_layers", self.objects, self.place.name],
                              check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        lines = done.stdout.splitlines()
        assert done.returncode == (1 if lines else 0), done
        return lines


@functools.cache
def clean_tree():
    """Built once; the others are copies of it."""
    tree = Tree()
    tree.add(CLEAN)
    return tree


def copy():
    tree = Tree()
    shutil.copytree(clean_tree().place.name, tree.place.name, dirs_exist_ok=True)
    return tree


def is_told(plant, *words):
    """One line says what is wrong with PLANT, and has all WORDS."""
    with copy() as tree:
        tree.add(plant)
        lines = tree.check()
    assert len(lines) == 1 and all(word in lines[0] for word in words), lines


@test
def a_tree_in_order_passes_in_silence():
    assert clean_tree().check() == []


@test
def an_include_of_a_higher_room_is_told():
    is_told({"vmm/base/log.h": '#include "vmm/json/error.h"\nvoid log_text(void);\n'},
            "vmm/base/log.h: includes vmm/json/error.h", "vmm/base may not use vmm/json")


@test
def an_include_of_a_room_beside_is_told():
    is_told({"vmm/json/scan.h": '#include "vmm/kvm/vcpu.h"\nvoid scan(void);\n'},
            "vmm/json/scan.h: includes vmm/kvm/vcpu.h", "vmm/json may not use vmm/kvm")


@test
def an_include_of_an_architecture_is_told():
    is_told({f"vmm/kvm/{ARCH}/cpu.h": "", "vmm/kvm/vcpu.h":
             f'#include "vmm/kvm/{ARCH}/cpu.h"\nvoid vcpu(void);\n'},
            f"vmm/kvm/vcpu.h: includes vmm/kvm/{ARCH}/cpu.h")


@test
def a_call_upwards_without_any_include_is_told():
    is_told({"vmm/base/log.c": "extern void scan(void);\nvoid log_text(void) { scan(); }\n"},
            "vmm/base/log.c: uses scan of vmm/json/scan.c", "vmm/base may not use vmm/json")


@test
def a_variable_of_main_is_told():
    is_told({"vmm/main.c": "int words;\nint main(void) { return 0; }\n",
             "vmm/json/scan.c": "extern int words;\nint scan(void);\nint scan(void) "
                                "{ return words; }\n"},
            "vmm/json/scan.c: uses words of vmm/main.c")


@test
def headers_in_a_circle_are_told():
    is_told({"vmm/json/scan.h": '#pragma once\n#include "vmm/json/error.h"\nvoid scan(void);\n',
             "vmm/json/error.h": '#pragma once\n#include "vmm/json/scan.h"\nvoid error(void);\n'},
            "a circle in vmm/json", "error.h includes scan.h", "scan.h includes error.h")


@test
def calls_in_a_circle_are_told_with_their_names():
    is_told({"vmm/json/error.c": '#include "vmm/json/scan.h"\nvoid error(void);\n'
                                 "void error(void) { scan(); }\n"},
            "a circle in vmm/json", "error.c uses scan of scan.c", "scan.c uses error of error.c")


@test
def calls_in_a_circle_of_three_are_told():
    is_told({"vmm/json/error.c": "void third(void);\nvoid error(void);\n"
                                 "void error(void) { third(); }\n",
             "vmm/json/third.c": "void scan(void);\nvoid third(void);\n"
                                 "void third(void) { scan(); }\n"},
            "error.c uses third of third.c", "scan.c uses error of error.c",
            "third.c uses scan of scan.c")


@test
def an_unknown_room_is_told():
    is_told({"vmm/attic/old.c": "int old;\n"}, "vmm/attic/old.c: lies in no room")


@test
def an_unknown_folder_in_a_room_is_told():
    is_told({"vmm/json/deep/old.h": "int old;\n"}, "vmm/json/deep/old.h: lies in no room")


@test
def a_file_on_the_flat_floor_is_told():
    is_told({"vmm/old.c": "int old;\n"}, "vmm/old.c: lies in no room")


@test
def an_include_of_an_unknown_room_is_told():
    is_told({"vmm/json/scan.h": '#include "tests/rig.h"\nvoid scan(void);\n', "tests/rig.h": ""},
            "vmm/json/scan.h: includes tests/rig.h", "no room")


@test
def kvm_and_mapped_memory_are_seen_by_their_rooms_only():
    is_told({"vmm/json/scan.h": "#include <linux/kvm.h>\nvoid scan(void);\n"},
            "vmm/json/scan.h: uses linux/kvm.h")
    is_told({"vmm/json/scan.h": "/* ram->host */\nvoid scan(void);\n"},
            "vmm/json/scan.h: uses ram->host")


@test
def what_the_makefile_builds_is_told_by_the_same_table():
    is_told({"Makefile": "LIB_DIRS := vmm/json vmm/base vmm/kvm\n"},
            "LIB_DIRS has vmm/base behind vmm/json")
    is_told({"Makefile": "LIB_DIRS := vmm/base vmm/json\n"}, "LIB_DIRS lacks vmm/kvm")
    is_told({"Makefile": "LIB_DIRS := vmm/base vmm/json vmm/kvm vmm/attic\n"},
            "LIB_DIRS has vmm/attic", "no room")


@test
def objects_that_are_not_those_of_the_sources_are_told():
    with copy() as tree:
        obj = tree.object_of("vmm/json/scan.c")
        os.utime(obj, (1, 1))
        [line] = tree.check()
        assert "build first" in line and "older than vmm/json/scan.c" in line, line
        os.unlink(obj)
        [line] = tree.check()
        assert "build first" in line and f"{obj} is not there" in line, line


main()
