# SPDX-License-Identifier: Apache-2.0
"""`make install` and the Debian package: what they put where, and that nothing stays of it."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, skip, test  # pylint: disable=wrong-import-position
from vm import ROOT, ebb  # pylint: disable=wrong-import-position


def run(*command, **options):
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, **{"cwd": ROOT, **options})
    assert done.returncode == 0, (command, done.stdout)
    return done.stdout


def make(*arguments):
    # Without the flags of a make that runs this.
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return run("make", "--no-print-directory", "-s", *arguments, env=env)


def files(folder):
    return sorted(os.path.relpath(os.path.join(place, name), folder)
                  for place, _, names in os.walk(folder) for name in names)


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            skip(f"{program} is not installed")


_package = []


def package():
    """Path of the package, made once."""
    needs("dpkg-deb", "dpkg-shlibdeps")
    if not _package:
        _package.append(os.path.join(ROOT, make("deb").splitlines()[-1]))
    return _package[0]


@test
def install_and_uninstall():
    with tempfile.TemporaryDirectory(prefix="ebb-test-") as folder:
        where = (f"DESTDIR={folder}/a b", "PREFIX=/opt/ebb")
        make("install", *where)
        base = f"{folder}/a b/opt/ebb"
        assert files(f"{folder}/a b") == sorted(f"opt/ebb/{path}" for path in (
            "bin/ebb", "share/man/man1/ebb.1", "share/bash-completion/completions/ebb",
            "share/zsh/site-functions/_ebb")), files(folder)
        assert os.stat(f"{base}/bin/ebb").st_mode & 0o777 == 0o755
        assert run(f"{base}/bin/ebb", "version") == ebb("version").stdout.decode()
        with open(f"{base}/share/man/man1/ebb.1", encoding="utf-8") as f:
            assert f.read() == ebb("man").stdout.decode()
        make("uninstall", *where)
        assert files(folder) == []


@test
def the_package_is_installed_works_and_goes_without_a_trace():
    needs("dpkg")
    path = package()
    # Into a root of its own: nothing of the host's is touched.
    with tempfile.TemporaryDirectory(prefix="ebb-test-") as root:
        for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"):
            os.makedirs(f"{root}/{folder}")
        for name in ("status", "available"):
            with open(f"{root}/var/lib/dpkg/{name}", "w", encoding="ascii"):
                pass
        dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-depends", "--log=/dev/null"]
        if os.getuid() != 0:
            skip("dpkg needs root to give files to root")
        run(*dpkg, "-i", path)
        there = [name for name in files(root) if not name.startswith("var/lib/dpkg/")]
        assert "usr/bin/ebb" in there and "lib/systemd/system/ebb@.service" in there, there
        run(*dpkg, "--verify", "ebb")
        done = subprocess.run([f"{root}/usr/bin/ebb", "doctor"], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # Whatever this host lacks, it is the same that our own build finds.
        ours = ebb("doctor")
        assert done.returncode == ours.returncode and not done.stderr, done
        assert re.findall(r"^\w+ +\w+", done.stdout, re.MULTILINE) == \
            re.findall(r"^\w+ +\w+", ours.stdout.decode(), re.MULTILINE), done
        run(*dpkg, "--purge", "ebb")
        left = [name for name in files(root) if not name.startswith("var/lib/dpkg/")]
        assert left == [] and not os.path.exists(f"{root}/usr/bin"), left


@test
def what_the_package_depends_on_is_all_it_needs():
    needed = run("dpkg-deb", "-f", package(), "Depends").strip()
    assert re.fullmatch(r"libc6 \(>= [\d.]+\)", needed), needed


@test
def two_builds_of_the_package_are_the_same():
    with open(package(), "rb") as f:
        first = f.read()
    with open(os.path.join(ROOT, make("deb").splitlines()[-1]), "rb") as f:
        assert f.read() == first


@test
def lintian_finds_no_error():
    needs("lintian")
    print("# " + run("lintian", "--allow-root", "--fail-on", "error", package())
          .replace("\n", "\n# "), flush=True)


@test
def the_unit_for_systemd_is_well_formed():
    needs("systemd-analyze")
    with tempfile.TemporaryDirectory(prefix="ebb-test-") as folder:
        with open(glob.glob(f"{ROOT}/.package/*.service")[0], encoding="ascii") as f:
            text = f.read().replace("/usr/bin/ebb", os.path.join(ROOT, "build/ebb"))
        with open(f"{folder}/ebb@vm.service", "w", encoding="ascii") as f:
            f.write(text)
        said = run("systemd-analyze", "verify", "--man=no", f"{folder}/ebb@vm.service")
        assert "ebb" not in said, said


main()
