# SPDX-License-Identifier: Apache-2.0
"""`ebb doctor` on this host, and on hosts that lack something: unprivileged, without devices, with
a kernel that refuses."""
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, skip, test  # pylint: disable=wrong-import-position
from vm import EBB, ROOT, ebb  # pylint: disable=wrong-import-position

NOBODY = "65534"
PRELOADS = os.path.join(ROOT, f"build/{os.uname().machine}-cc/tests/preload")
PR_SET_THP_DISABLE = 41
CHECKS = ["kernel", "kvm", "guard", "huge pages", "sockets", "memory", "mappings", "limits"]


def doctor(*prefix, env=None, **options):
    """What --json says, by check; checked against the exit code and the text."""
    env = {**os.environ, "EBB_RUN_DIR": tempfile.gettempdir(), **(env or {})}
    runs = [subprocess.run([*prefix, *([] if prefix else [EBB]), "doctor", *json_option], env=env,
                           check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
            for json_option in (["--json"], [])]
    whole = json.loads(runs[0].stdout)
    checks = {check.pop("check"): check for check in whole["checks"]}
    bad = [name for name, check in checks.items() if check["grade"] == "bad"]
    assert list(checks) == CHECKS and whole["can-run"] == (not bad), whole
    text = runs[1].stdout.decode()
    for name, check in checks.items():
        assert check["grade"] in ("ok", "hint", "bad") and check["found"], checks
        assert text.count(f"\n{check['grade']:5} {name:11} ") + text.startswith(
            f"{check['grade']:5} {name:11} ") == 1, text
        assert "fix" not in check or f": {check['fix']}\n" in text, (check, text)
    for run in runs:
        assert run.returncode == (1 if bad else 0) and not run.stderr, run
    return checks


def in_namespaces(script, **options):
    """A doctor with other mounts, after SCRIPT; or a skip with the reason."""
    done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        skip("unshare -m: " + done.stdout.decode().strip())
    return doctor("unshare", "-m", "sh", "-c", f'{script} && exec "$0" "$@"', EBB, **options)


def preload(name):
    path = f"{PRELOADS}/{name}.so"
    if not os.path.exists(path):
        skip(f"{path} is not there; `make helpers` builds it")
    return path


class Anybody:
    """A copy of ebb that a user without rights can reach."""

    def __enter__(self):
        if os.getuid() != 0:
            skip("needs root to become somebody else")
        self.folder = tempfile.mkdtemp(prefix="ebb-test-")
        os.chmod(self.folder, 0o755)
        return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                "--bounding-set=-all", shutil.copy(EBB, self.folder))

    def __exit__(self, *_):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


@test
def this_host():
    checks = doctor()
    assert os.uname().release in checks["kernel"]["found"], checks
    there = os.access("/dev/kvm", os.R_OK | os.W_OK)
    assert there or checks["kvm"]["grade"] == "bad", checks
    done = ebb("doctor", "--frob")
    assert done.returncode == 35 and b"--frob" in done.stderr, done


@test
def no_dev_kvm():
    kvm = in_namespaces("mount -t tmpfs none /dev")["kvm"]
    assert kvm["grade"] == "bad" and "/dev/kvm: not there" in kvm["found"], kvm
    with open("/proc/cpuinfo", encoding="ascii") as f:
        cpu = f.read().split()
    module = "kvm_intel" if "vmx" in cpu else "kvm_amd" if "svm" in cpu else None
    assert kvm.get("fix") == (f"modprobe {module}" if module else None), kvm


@test
def the_kernel_says_why_there_is_no_kvm():
    why = "kvm-pvm: the host enabled page-table isolation; not binding"
    log = ("<6>[    0.000000] kvm-clock: Using msrs 4b564d01 and 4b564d00\n"
           "<3>[    0.300000] kvm: no hardware support\n"
           f"<3>[    0.345596] {why}\n"
           "<6>[    1.000000] eth0: renamed\n")
    no_dev = "mount -t tmpfs none /dev"
    with tempfile.NamedTemporaryFile("w", suffix=".klog") as f:
        f.write(log)
        f.flush()
        env = {"LD_PRELOAD": preload("klog_says"), "KLOG_SAYS": f.name}
        assert in_namespaces(no_dev, env=env)["kvm"]["found"].endswith(f"the kernel says: {why}")
        f.write("[    2.000000] kvm_amd: " + "x" * 1000)
        f.flush()
        found = in_namespaces(no_dev, env=env)["kvm"]["found"]
        assert found.endswith("x" * 99) and len(found) < 512, found
    for env in ({**env, "KLOG_SAYS": "/nowhere"}, {**env, "KLOG_SAYS": "/dev/null"}):
        kvm = in_namespaces(no_dev, env=env)["kvm"]
        assert kvm["grade"] == "bad" and "kernel says" not in kvm["found"], kvm


@test
def without_kvm_the_sources_work_nevertheless():
    done = subprocess.run(["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev && exec "$0" doctor',
                           EBB], check=False, stdout=subprocess.PIPE)
    assert done.returncode == 1 and b"`make demo` and `make check` work without KVM" in done.stdout, done


@test
def a_dev_kvm_that_is_something_else():
    kvm = in_namespaces("mount -t tmpfs none /dev && touch /dev/kvm")["kvm"]
    assert kvm["grade"] == "bad" and "is not KVM" in kvm["found"], kvm


@test
def a_kvm_that_lacks_something():
    mount = "mount -t tmpfs none /dev && touch /dev/kvm"
    env = {"LD_PRELOAD": preload("kvm_lacks"), "KVM_LACKS": "7,32"}
    kvm = in_namespaces(mount, env=env)["kvm"]
    assert kvm["grade"] == "bad", kvm
    assert "/dev/kvm lacks KVM_CAP_IRQFD; a newer host kernel has it" in kvm["found"], kvm
    kvm = in_namespaces(mount, env={**env, "KVM_LACKS": "36,81"})["kvm"]
    assert "lacks KVM_CAP_IOEVENTFD KVM_CAP_READONLY_MEM;" in kvm["found"], kvm
    kvm = in_namespaces(mount, env={**env, "KVM_VERSION": "11"})["kvm"]
    assert kvm["grade"] == "bad" and "API version 11, this program needs 12" in kvm["found"], kvm


@test
def a_kernel_without_huge_pages_on_demand():
    def disable():
        ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    huge = doctor(preexec_fn=disable)["huge pages"]
    assert huge["grade"] == "hint" and "MADV_COLLAPSE" in huge["found"], huge
    assert "resizes take longer" in huge["found"], huge


@test
def no_permission_for_dev_kvm():
    with Anybody() as command:
        script = ("mount -t tmpfs -o mode=755 none /dev && mknod -m {} /dev/kvm c 10 232 && "
                  "chgrp {} /dev/kvm && exec \"$0\" \"$@\"")
        for mode, group, fix in (("660", "daemon", "adduser nobody daemon, then log in again"),
                                 ("600", "root", "setfacl -m u:nobody:rw /dev/kvm")):
            kvm = doctor("unshare", "-m", "sh", "-c", script.format(mode, group), *command)["kvm"]
            assert kvm["grade"] == "bad" and "no permission" in kvm["found"], kvm
            assert kvm["fix"] == fix, kvm


@test
def no_right_to_userfaultfd():
    with open("/proc/sys/vm/unprivileged_userfaultfd", encoding="ascii") as f:
        open_to_all = f.read().strip() == "1"
    if open_to_all:
        skip("vm.unprivileged_userfaultfd is 1 here")
    with Anybody() as command:
        script = "mount -t tmpfs none /dev && exec \"$0\" \"$@\""
        guard = doctor("unshare", "-m", "sh", "-c", script, *command)["guard"]
        assert guard["grade"] == "bad" and "no permission" in guard["found"], guard
        assert guard["fix"] == "sysctl -w vm.unprivileged_userfaultfd=1", guard
        script = ("mount -t tmpfs -o mode=755 none /dev && mknod -m 600 /dev/userfaultfd c 10 126 "
                  "&& exec \"$0\" \"$@\"")
        guard = doctor("unshare", "-m", "sh", "-c", script, *command)["guard"]
        assert guard["fix"] == "setfacl -m u:nobody:rw /dev/userfaultfd", guard


@test
def a_kernel_that_refuses():
    path = preload("uffd_fails")
    for call, number, words in (("new", 38, ("this kernel has none", "--guard=off")),
                                ("new", 1, ("no permission",)),
                                ("register", 22, ("watch shared memory",))):
        with tempfile.NamedTemporaryFile("w", suffix=".fails") as f:
            f.write(f"{call} {number}\n")
            f.flush()
            guard = doctor(env={"LD_PRELOAD": path, "UFFD_FAILS": f.name})["guard"]
        assert guard["grade"] == "bad", guard
        for word in words:
            assert word in guard["found"], guard


@test
def no_place_for_control_sockets():
    with Anybody() as command:
        sockets = doctor(*command, env={"EBB_RUN_DIR": "/proc/sys/ebb"})["sockets"]
        assert sockets["grade"] == "bad" and "EBB_RUN_DIR" in sockets["fix"], sockets
        sockets = doctor(*command, env={"EBB_RUN_DIR": "", "XDG_RUNTIME_DIR": ""})["sockets"]
        assert sockets["grade"] == "bad" and "/run/ebb" in sockets["found"], sockets
    sockets = doctor(env={"EBB_RUN_DIR": "/tmp/" + "x" * 120})["sockets"]
    assert sockets["grade"] == "bad" and "at most" in sockets["found"], sockets


@test
def limits_of_the_process():
    def limited(option):
        return doctor("sh", "-c", f'ulimit {option} && exec "$0" "$@"', EBB)["limits"]
    few = limited("-n 64")
    assert few["grade"] == "hint" and few["fix"] == "ulimit -n 256", few
    for option, name in (("-f 10000", "RLIMIT_FSIZE"), ("-v 10000000", "RLIMIT_AS")):
        found = limited(option)
        assert found["grade"] == "hint" and name in found["found"], found
        assert found["fix"] == f"ulimit {option[:2]} unlimited", found
    assert limited("-n 1024")["grade"] == "ok"


@test
def settings_of_the_host():
    def with_setting(path, text):
        return in_namespaces(f"echo '{text}' > /tmp/ebb-setting.$$ && "
                             f"mount --bind /tmp/ebb-setting.$$ {path} && "
                             "rm /tmp/ebb-setting.$$")
    few = with_setting("/proc/sys/vm/max_map_count", "1000")["mappings"]
    assert few["grade"] == "hint" and few["fix"] == "sysctl -w vm.max_map_count=65530", few
    thp = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
    if not os.path.exists(thp):
        skip("this kernel has no transparent huge pages")
    huge = with_setting(thp, "always within_size advise [never] deny force")["huge pages"]
    assert huge["grade"] == "hint" and huge["fix"] == f"echo advise > {thp}", huge
    huge = with_setting(thp, "always within_size [advise] never deny force")["huge pages"]
    assert "advise" in huge["found"] and "fix" not in huge, huge


@test
def a_limit_of_a_control_group():
    with tempfile.TemporaryDirectory(prefix="ebb-test-") as folder:
        os.makedirs(f"{folder}/fs/fake/one")
        for path, text in (("fs/fake/one/memory.max", "max"), ("fs/fake/memory.max", "4194304"),
                           ("cgroup", "0::/fake/one")):
            with open(f"{folder}/{path}", "w", encoding="ascii") as f:
                f.write(text + "\n")
        memory = in_namespaces(f"mount --bind {folder}/cgroup /proc/$$/cgroup && "
                               f"mount --bind {folder}/fs /sys/fs/cgroup")["memory"]
    assert memory["grade"] == "hint" and "4 MiB at most" in memory["found"], memory
    assert "control group /fake (memory.max)" in memory["found"], memory


main()
