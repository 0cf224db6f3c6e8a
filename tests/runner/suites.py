# SPDX-License-Identifier: Apache-2.0
"""The suites: which programs, with which variant of ebb, where they run on this machine and why some
of them do not."""
import dataclasses
import glob
import os
import re
import subprocess

MACHINE = os.uname().machine
PLAIN = f"build/{MACHINE}-cc"
ASAN = f"build/{MACHINE}-cc-address-undefined"
TSAN = f"build/{MACHINE}-cc-thread"
FUZZ = f"build/{MACHINE}-clang-fuzzer-no-link-address-undefined"
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
# What needs, or is to be seen under, KVM that runs guest kernels natively.
IN_RIG = ("guest-kvm", "linux")
# What needs any KVM: on a host without one it runs in the rig as well.
NEED_KVM = ("cli", "guest", "guest-asan", "guest-tsan", "peers")
# What waits more than it computes.
MOSTLY_WAIT = ("host", "cli", "peers", "rig")
# Programs that change the host's settings: they get a nested machine, which has its own.
CHANGE_SETTINGS = ("test_guard_storm.py", "test_khugepaged.py")
# Sanitizers in an emulated machine take ten times as long. There they are for the programs whose
# parsers (address) and threads (thread) deserve it; with /dev/kvm they are for all.
SANITIZED_IN_RIG = {
    "guest-asan": ("test_disk.py", "test_ports.py", "test_qmp.py", "test_transport.py"),
    "guest-tsan": ("test_disk.py", "test_guard_ways.py", "test_ports.py"),
}
# Suites with a folder of their own whose program `prepare` fetches and builds what they need.
PREPARED = ("linux", "peers")
GROUPS = {
    "quick": ("unit", "host"),
    "sanitized": ("unit-asan", "fuzz", "guest-asan", "guest-tsan"),
    "control": ("cli", "guest", "peers"),
    "nested": ("rig", "guest-kvm", "linux"),
}
HIDDEN = os.environ.get("EBB_TEST_KVM") == "off"
HAVE_KVM = not HIDDEN and os.access("/dev/kvm", os.R_OK | os.W_OK)
NO_KVM = "EBB_TEST_KVM=off hides /dev/kvm" if HIDDEN else "there is no /dev/kvm here"


def built(folder, pattern):
    return sorted(p for p in glob.glob(f"{folder}/{pattern}") if "." not in os.path.basename(p))


def scripts(folder):
    return sorted(glob.glob(f"tests/{folder}/test_*.py"))


def table():
    """Suite -> its programs and their environment."""
    plain = {"EBB": "build/ebb"}
    return {
        "unit": (built(PLAIN, "tests/unit/test_*"), {}),
        "unit-asan": (built(ASAN, "tests/unit/test_*"), SANITIZER_ENV),
        "fuzz": (built(FUZZ, "tests/fuzz/fuzz_*"), {}),
        "host": (scripts("host"), plain),
        "cli": (scripts("cli"), plain),
        "guest": (scripts("guest"), plain),
        "guest-asan": (scripts("guest"), {"EBB": f"{ASAN}/ebb", **SANITIZER_ENV}),
        "guest-tsan": (scripts("guest"), {"EBB": f"{TSAN}/ebb", **SANITIZER_ENV}),
        "peers": (scripts("peers"), plain),
        "rig": (["tests/rig/selftest"], {}),
        "guest-kvm": (scripts("guest"), plain),
        "linux": (scripts("linux"), plain),
    }


@dataclasses.dataclass
class Job:
    """TESTS of a program (all of them when empty), as one process."""
    suite: str
    program: str
    env: dict
    tests: tuple = ()
    cost: float = 0  # million instructions of the nested machine, as recorded

    @property
    def name(self):
        return os.path.basename(self.program)

    @property
    def in_rig(self):
        return (self.suite in IN_RIG or
                (self.suite in NEED_KVM and (not HAVE_KVM or self.name in CHANGE_SETTINGS)))

    @property
    def waits(self):
        return self.suite in MOSTLY_WAIT and not self.in_rig


def native():
    """Whether the rig executes directly on /dev/kvm."""
    mode = subprocess.run(["tests/rig/rig", "--mode"], check=True, stdout=subprocess.PIPE, text=True)
    return mode.stdout.strip() == "direct"


def reason_to_skip(suite):
    """Why a suite would tell nothing new here, or None."""
    if suite == "guest-kvm" and native():
        return "the same as guest: /dev/kvm here runs guest kernels natively"
    if suite == "guest" and not HAVE_KVM:
        return f"the same as guest-kvm: {NO_KVM}"
    if suite == "guest" and not native():
        return "by hand: guest-asan and guest-tsan run on this KVM, guest-kvm on one that is native"
    return None


def left_out(suite, program):
    """Why a program of a suite does not run on this machine, or None."""
    chosen = SANITIZED_IN_RIG.get(suite)
    name = os.path.basename(program)
    if chosen and name not in chosen and (not HAVE_KVM or name in CHANGE_SETTINGS):
        return f"not chosen for a sanitizer in an emulated machine; {NO_KVM}" if not HAVE_KVM else \
            "changes the host's settings; its nested machine is too slow for a sanitizer"
    return None


def tests_of(program):
    """Names of the tests of a Python program, in order."""
    with open(program, encoding="utf-8") as f:
        return re.findall(r"^@test\ndef (\w+)", f.read(), re.MULTILINE)


def prepared(suite):
    """The environment that tests/SUITE/prepare prints."""
    lines = subprocess.run([f"tests/{suite}/prepare"], check=True, stdout=subprocess.PIPE, text=True)
    return dict(line.split("=", 1) for line in lines.stdout.splitlines())
