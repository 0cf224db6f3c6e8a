# SPDX-License-Identifier: Apache-2.0
"""What can't be started: one line with the cause and the way out, exit code 35, nothing left."""
import contextlib
import glob
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, skip, test  # pylint: disable=wrong-import-position
from vm import (EBB, MiB, Vm, ebb, guest,  # pylint: disable=wrong-import-position
                hang_limit, scratch, wait_until)

HELLO = guest("hello")
NOBODY = 65534


def group_is_empty(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def refused(arguments, *words, prefix=(), folder=None, **options):
    """`ebb run ARGUMENTS` ends with 35 and one line that has all WORDS; no process and no file of
    its own stays."""
    with scratch() if folder is None else contextlib.nullcontext(folder) as place:
        before = sorted(os.listdir(place))
        socket_path = os.path.join(place, "qmp.sock")
        qmp = [] if "--qmp" in arguments or "--name" in arguments else ["--qmp", socket_path]
        process = subprocess.Popen(
            [*prefix, EBB, "run", *qmp, *map(str, arguments)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            **{"env": {**os.environ, "EBB_RUN_DIR": place}, **options})
        try:
            output, errors = process.communicate(timeout=hang_limit())
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        errors = errors.decode()
        assert process.returncode == 35, (arguments, process.returncode, errors)
        assert not output, (arguments, output)
        assert errors.count("\n") == 1 and errors.startswith("ebb: error: "), (arguments, errors)
        for word in words:
            assert word in errors, (arguments, word, errors)
        assert sorted(os.listdir(place)) == before, (arguments, os.listdir(place))
        assert group_is_empty(process.pid), arguments


def with_file(content, name="file"):
    @contextlib.contextmanager
    def manager():
        with scratch() as folder:
            path = os.path.join(folder, name)
            with open(path, "wb") as f:
                f.write(content)
            yield path
    return manager()


# --- kernel and initrd

@test
def no_kernel():
    refused([], "no kernel", "-k FILE")
    refused(["-m", "64M"], "no kernel")
    refused(["-k"], "--kernel needs FILE")
    refused(["-k", "/nonexistent"], "kernel /nonexistent", "No such file")


@test
def not_a_kernel():
    with with_file(b"#!/bin/sh\n" * 1000) as path:
        refused(["-k", path], path, "is not a kernel", "bzImage")
    with with_file(b"\x7fELF") as path:
        refused(["-k", path], path)
    with with_file(b"") as path:
        refused(["-k", path], "is empty")
    # A program of this machine is an ELF file too, but no kernel.
    refused(["-k", EBB], EBB, "PVH")


@test
def a_kernel_that_is_no_file():
    refused(["-k", "/"], "not a regular file")
    refused(["-k", "/dev/zero"], "not a regular file")
    with scratch() as folder:
        fifo = os.path.join(folder, "fifo")
        os.mkfifo(fifo)
        refused(["-k", fifo], "not a regular file")


@test
def a_kernel_that_may_not_be_read():
    with with_file(b"secret") as path:
        os.chmod(path, 0)
        if os.getuid() == 0:  # as root, but bound by permissions
            refused(["-k", path], path, "Permission denied",
                    prefix=["setpriv", "--bounding-set=-dac_override,-dac_read_search"])
        else:
            refused(["-k", path], path, "Permission denied")


def bzimage(payload_bytes):
    """The head of a bzImage that says there are PAYLOAD_BYTES of protected-mode code."""
    sectors = 4
    head = bytearray((sectors + 1) * 512)
    head[0x1f1] = sectors
    struct.pack_into("<I", head, 0x1f4, payload_bytes // 16)
    struct.pack_into("<H", head, 0x1fe, 0xaa55)
    head[0x200:0x202] = b"\xeb\x6a"
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20f)
    head[0x211] = 1  # LOADED_HIGH
    struct.pack_into("<I", head, 0x22c, 0x7fffffff)
    struct.pack_into("<I", head, 0x230, 0x200000)
    head[0x234] = 1
    struct.pack_into("<H", head, 0x236, 1)  # XLF_KERNEL_64
    struct.pack_into("<I", head, 0x238, 2047)
    struct.pack_into("<Q", head, 0x258, 0x1000000)
    struct.pack_into("<I", head, 0x260, payload_bytes * 2)
    return bytes(head)


@test
def a_truncated_bzimage():
    whole = bzimage(1 * MiB) + bytes(1 * MiB)
    for nr_bytes in (0x206, 0x264, 2560, 4096, len(whole) - 16):
        with with_file(whole[:nr_bytes]) as path:
            refused(["-k", path], path, "truncated")


@test
def a_stock_bzimage_cut_anywhere():
    cache = os.environ.get("EBB_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ebb")
    stock = sorted(glob.glob(f"{cache}/kernels/*/boot/vmlinuz-*"))
    if not stock:
        skip("no stock kernel is cached; `make demo` fetches one")
    with open(stock[0], "rb") as f:
        whole = f.read()
    for nr_bytes in (1024, 4096, len(whole) // 2, len(whole) - 4096):
        with with_file(whole[:nr_bytes]) as path:
            refused(["-k", path, "-m", "512M"], path, "truncated")


@test
def a_truncated_elf_kernel():
    with open(HELLO, "rb") as f:
        whole = f.read()
    for nr_bytes in (63, 64, 100, 4096):
        with with_file(whole[:nr_bytes]) as path:
            refused(["-k", path], path, "truncated")


@test
def an_initrd_larger_than_memory():
    with scratch() as folder:
        path = os.path.join(folder, "initrd")
        with open(path, "wb") as f:
            f.truncate(64 * MiB)
        refused(["-k", HELLO, "-i", path, "-m", "64M"], "initrd", "64 MiB", "more boot memory")
        refused(["-k", HELLO, "-i", "/nonexistent"], "initrd /nonexistent", "No such file")
        refused(["-k", HELLO, "-i", folder], "not a regular file")


@test
def a_kernel_larger_than_memory():
    refused(["-k", HELLO, "-m", "2M"], "needs memory up to", "more boot memory")


@test
def a_command_line_too_long():
    refused(["-k", HELLO, "-p", "x" * 5000], "command line", "5000", "shorten")


# --- sizes and numbers

@test
def no_boot_memory():
    refused(["-k", HELLO, "-m", "0"], "--memory", "can't be 0", "256M")


@test
def boot_memory_that_is_no_size():
    for text in ("", "x", "10Q", "-5", "+5", " 5", "5 M", "1.M", "0x10M", "5MM", "5MB2", "1e3",
                 "99999999999999999999", "16E", "18446744073709551616B", "17179869184G",
                 "1.0000001G", "nan"):
        refused(["-k", HELLO, "-m", text], "--memory", "is not a size", "512M")


@test
def boot_memory_out_of_range():
    refused(["-k", HELLO, "-m", "513K"], "--memory", "525312 bytes", "multiple of 2 MiB")
    refused(["-k", HELLO, "-m", "1025M"], "1074790400 bytes", "multiple of 2 MiB")
    refused(["-k", HELLO, "-m", "8T"], "--memory", "limit")
    refused(["-k", HELLO, "-m", "15E"], "--memory", "limit")


@test
def elastic_memory_that_can_not_be():
    for text, *words in (
            ("", "is not a size"), ("0", "size 0"), ("1Q", "is not a size"),
            ("16E", "is not a size"), ("15E", "limit"), ("8T", "limit", "several"),
            ("1025M", "1074790400 bytes", "multiple of the block size 2 MiB"),
            ("1G,block=3M", "power of two"), ("1G,block=1M", "at least 2 MiB"),
            ("1G,block=0", "power of two"), ("1G,block=x", "is not a size"),
            ("1G,block=2G", "multiple of the block size 2 GiB"),
            ("1G,requested=3M", "requested 3145728 bytes", "multiple"),
            ("1G,requested=2G", "requested 2 GiB", "above the size 1 GiB"),
            ("1G,frob=1", "unknown key 'frob'"), ("1G,block", "not KEY=VALUE"),
            ("1G,id=", "id"), ("1G,id=a/b", "id 'a/b'"), ("1G,id=" + "x" * 40, "id")):
        refused(["-k", HELLO, "-e", text], "--elastic", *words)
    refused(["-k", HELLO, "-e", "1G,id=a", "-e", "1G,id=a"], "two devices", "a")
    refused(["-k", HELLO, *["-e", "128M"] * 9], "at most 8")


@test
def elastic_memory_beyond_what_the_guest_can_address():
    # Seven of them end beyond 46 bits, the most that machines of today have here.
    with open("/proc/cpuinfo", encoding="ascii") as f:
        bits = [int(line.split(":")[1].split()[0]) for line in f if "address sizes" in line]
    if not bits or bits[0] > 45:
        skip(f"this machine has {bits[0] if bits else '?'} address bits: none to run out of")
    refused(["-k", HELLO, *["-e", "7T"] * 8], "address bits", "take less")


@test
def numbers_of_cpus():
    for text in ("0", "65", "-1", "x", "", "2x", " 2", "99999999999999999999"):
        refused(["-k", HELLO, "--cpus", text], "--cpus", "from 1 to 64")


@test
def words_that_mean_nothing():
    refused(["-k", HELLO, "--frob"], "unknown option --frob", "--help")
    refused(["-k", HELLO, "-Z"], "unknown option -Z", "--help")
    refused(["-k", HELLO, "extra"], "'extra'", "--help")
    refused(["-k", HELLO, "--paused=yes"], "--paused takes no value")
    refused(["-k", HELLO, "-m"], "--memory needs SIZE")
    refused(["-k", HELLO, "--loglevel", "loud"], "'loud'", "debug")
    for text, code in (("frob", 35), ("--frob", 35)):
        done = ebb(text)
        assert done.returncode == code and b"unknown verb" in done.stderr, done
        assert done.stderr.count(b"\n") == 1 and b"ebb --help" in done.stderr, done


# --- sockets and names

@test
def a_socket_in_use_by_a_live_vm():
    with Vm("-k", guest("console"), "-m", "64M") as vm:
        vm.expect("^ready\r\n")
        refused(["-k", HELLO, "--qmp", vm.qmp_path], "in use", "stop it first", folder=vm.folder)
        assert vm.qmp.command("query-status")["status"] == "running"


@test
def a_socket_left_by_a_dead_vm_is_taken_over():
    with Vm("-k", guest("console"), "-m", "64M") as vm:
        vm.expect("^ready\r\n")
        vm.signal(signal.SIGKILL)
        assert vm.wait() == -signal.SIGKILL
        assert os.path.exists(vm.qmp_path)
        done = ebb("run", "--qmp", vm.qmp_path, "-k", HELLO, "-m", "64M", "--debug-exit")
        assert done.returncode == 0 and b"PASS" in done.stdout, done
        assert not os.path.exists(vm.qmp_path)


@test
def a_socket_path_that_is_something_else():
    with with_file(b"precious") as path:
        refused(["-k", HELLO, "--qmp", path], path, "no socket", folder=os.path.dirname(path))
        with open(path, "rb") as f:
            assert f.read() == b"precious"
    refused(["-k", HELLO, "--qmp", "/nonexistent/q"], "/nonexistent", "No such file")
    refused(["-k", HELLO, "--qmp", "/tmp/" + "x" * 120], "107 bytes")
    refused(["-k", HELLO, "--qmp", ""], "107 bytes")


@test
def two_vms_of_one_name():
    with scratch() as folder:
        env = {"EBB_RUN_DIR": folder}
        first = subprocess.Popen(
            [EBB, "run", "--name", "twin", "-k", guest("console"), "-m", "64M"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ, **env})
        try:
            wait_until(lambda: os.path.exists(f"{folder}/twin.sock"), 20, "the first one")
            refused(["-k", HELLO, "--name", "twin"], "in use", "another name", folder=folder)
            assert first.poll() is None
        finally:
            first.kill()
            first.wait()


@test
def of_vms_that_start_at_once_under_one_name_one_wins():
    with scratch() as folder:
        env = {**os.environ, "EBB_RUN_DIR": folder}
        several = [subprocess.Popen([EBB, "run", "--name", "one", "-k", guest("console"),
                                     "-m", "64M"], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
                   for _ in range(6)]
        try:
            wait_until(lambda: sum(p.poll() is not None for p in several) == 5, 30, "five to end")
            codes = sorted(p.poll() for p in several if p.poll() is not None)
            assert codes == [35] * 5, codes
            assert b"one: running" in ebb("stat", "one", env=env).stdout
        finally:
            for p in several:
                p.kill()
                p.wait()


@test
def names_that_are_none():
    for name in ("", ".", "..", "-x", "a b", "a/b", "x" * 65, "ä"):
        refused(["-k", HELLO, "--name", name], "VM name")


@test
def a_folder_for_sockets_that_can_not_be():
    with with_file(b"") as path:
        refused(["-k", HELLO, "--name", "a"], "Not a directory",
                env={**os.environ, "EBB_RUN_DIR": path})


@test
def a_socket_that_is_listened_to_by_somebody_else():
    with scratch() as folder:
        path = os.path.join(folder, "q")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            other.listen()
            refused(["-k", HELLO, "--qmp", path], "in use", folder=folder)
            assert os.path.exists(path)


@test
def ports_that_can_not_be():
    def port(*words, more=()):
        return ["-k", HELLO, *[x for w in words for x in ("--port", w)], *more]
    for name in ("", ",path=/tmp/x", "-x", "a b", "a/b", "x" * 65, "ä", "a=b", ".."):
        refused(port(name), "--port: name", "letter or a digit")
    refused(port("a", "b", "a"), "two ports of the name a")
    refused(port("a,path=/tmp/x", "b,path=/tmp/x"), "a and b", "same path /tmp/x")
    refused(port("a,path=" + "/x" * 60), "--port a", "107 bytes")
    refused(port("a,path="), "--port a", "107 bytes")
    refused(port("a,frob=1"), "--port a", "'frob=1'", "path=PATH")
    refused(port("a,path"), "--port a", "path=PATH")
    refused(port(*[f"p{i}" for i in range(15)]), "--port", "at most 14")
    refused(port("a,path=/nonexistent/a"), "/nonexistent", "No such file")
    refused(["-k", HELLO, "-m", "64M", "--port", "x" * 60, "--name", "y" * 50], "x.port",
            "107 bytes", "EBB_RUN_DIR")


@test
def ports_whose_socket_is_in_use():
    with Vm("-k", guest("console"), "-m", "64M", "--port", "a") as vm:
        vm.expect("^ready\r\n")
        path = f"{vm.folder}/qmp.a.port"
        refused(["-k", HELLO, "--port", f"b,path={path}"], path, "in use", "another name or path")
        refused(["-k", HELLO, "--port", f"b,path={vm.qmp_path}"], vm.qmp_path, "in use")
        # One of two: what the first has made goes as well.
        refused(["-k", HELLO, "--hvc=unix", "--port", "a", "--port", f"b,path={path}"], path,
                "in use")
    with with_file(b"precious") as path:
        refused(["-k", HELLO, "--port", f"b,path={path}"], path, "no socket",
                folder=os.path.dirname(path))


@test
def hvc0_where_it_can_not_be():
    refused(["-k", HELLO, "--hvc", "here"], "--hvc", "'here'", "unix:PATH")
    refused(["-k", HELLO, "--hvc=stdio", "--console=stdio"], "--hvc and --console",
            "leave --console")
    refused(["-k", HELLO, "--hvc=stdio", "--background"], "--background", "--hvc=unix")
    refused(["-k", HELLO, "--hvc=unix:" + "/x" * 60], "107 bytes")


# --- KVM

def namespaces():
    """What runs a command with other mounts, or a skip with the reason."""
    done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        skip("unshare -m: " + done.stdout.decode().strip())


def with_mounts(script):
    return ["unshare", "-m", "sh", "-c", f'{script} && exec "$0" "$@"']


@test
def no_dev_kvm():
    namespaces()
    refused(["-k", HELLO], "/dev/kvm", "not there", "kvm-intel",
            prefix=with_mounts("mount -t tmpfs none /dev"))


@test
def a_dev_kvm_that_is_something_else():
    namespaces()
    refused(["-k", HELLO], "/dev/kvm", "not KVM",
            prefix=with_mounts("mount --bind /dev/null /dev/kvm"))


@test
def no_permission_for_dev_kvm():
    if os.getuid() != 0:
        skip("needs root to become somebody else")
    if os.stat("/dev/kvm").st_mode & 0o006:
        skip("/dev/kvm is open to everybody here")
    with scratch() as folder:
        os.chmod(folder, 0o777)
        # Whoever comes from a folder closed to others needs a copy.
        program = shutil.copy(EBB, folder)
        os.chmod(program, 0o755)
        kernel = shutil.copy(HELLO, folder)
        done = subprocess.run([program, "run", "--qmp", f"{folder}/q", "-k", kernel], check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, user=NOBODY, group=NOBODY, extra_groups=[],
                              cwd=folder, timeout=hang_limit())
        assert done.returncode == 35, done
        assert done.stderr.count(b"\n") == 1 and b"/dev/kvm: no permission" in done.stderr, done
        assert b"group" in done.stderr, done
        assert not os.path.exists(f"{folder}/q")


main()
