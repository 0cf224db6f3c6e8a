# SPDX-License-Identifier: Apache-2.0
"""The agent of Linux guests against a host of ours, with a /proc and /sys of ours: what it says and
when, what it makes of what it is told, and what it writes to the kernel."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import main, test  # pylint: disable=wrong-import-position
from vm import (GUESTS, ROOT, KiB, MiB,  # pylint: disable=wrong-import-position
                hang_limit, scratch, wait_until)

AGENT = os.path.join(GUESTS, "linux/ebb-agent")
PAGE = 4096
LRU_GEN = "sys/kernel/debug/lru_gen"
# As Linux prints it: two cgroups, two nodes, oldest first.
GENERATIONS = """memcg     1 /
 node     0
          0      70000        100        1000 
          1      40000        200        2000 
          2      20000        300           0 
          3        900        400        4000 
 node     1
          4       1500          0          10 
          5        100          7           0 
memcg    42 /system.slice/a name with node     3 in it
 node     0
          7      65000         10          20 
          8      33000          0           1 
          9       1999          5           0 
         10       1000          1           2 
"""
ZONEINFO = """Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 11
      nr_active_anon 22
      nr_inactive_file 33
      nr_active_file 44
      nr_unevictable 0
  pages free     3840
Node 0, zone    DMA32
  pages free     100
Node 1, zone  Movable
  per-node stats
      nr_inactive_anon 0
      nr_active_anon 1
      nr_inactive_file 2
      nr_active_file 3
"""

IDLE_SECONDS = float(os.environ.get("EBB_AGENT_IDLE", 3))


class Tree:
    """/proc and /sys of a guest."""

    def __init__(self, folder):
        self.folder = folder
        self.past = []
        self.memory = {"MemTotal": 256 * MiB, "MemFree": 200 * MiB, "MemAvailable": 210 * MiB,
                       "Active(file)": 20 * MiB, "Inactive(file)": 10 * MiB, "SwapTotal": 0,
                       "SwapFree": 0, "AnonPages": 20 * MiB, "Shmem": 4 * MiB}
        self.events = {"workingset_refault_file": 5, "pgsteal_file": 1000, "oom_kill": 2}
        self.write("proc/zoneinfo", ZONEINFO)
        # The request for a trigger overwrites some of the first bytes.
        self.write("proc/pressure/memory",
                   "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234567\n"
                   "full avg10=0.00 avg60=0.00 avg300=0.00 total=7654\n")
        self.set()

    def write(self, path, text):
        """As a whole: the agent reads at any time."""
        path = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with open(path, "r+", encoding="ascii") as f:
                old = os.fstat(f.fileno()).st_size
                os.pwrite(f.fileno(), text.encode().ljust(old), 0)
        except FileNotFoundError:
            with open(path, "w", encoding="ascii") as f:
                f.write(text)

    def read(self, path):
        with open(os.path.join(self.folder, path), encoding="ascii") as f:
            return f.read()

    def set(self, **values):
        """Fields of memory by their first words: MemAvailable=bytes; others are events."""
        for name, value in values.items():
            (self.memory if name in self.memory else self.events)[name] = value
        self.write("proc/vmstat", "".join(f"{name} {value:<12}\n"
                                          for name, value in self.events.items()))
        self.write("proc/meminfo", "".join(f"{name + ':':16}{value // KiB:8} kB\n"
                                           for name, value in self.memory.items()))

    def use(self, mib):
        """Programs take so much more."""
        self.set(MemAvailable=self.memory["MemAvailable"] - mib * MiB,
                 AnonPages=self.memory["AnonPages"] + mib * MiB)

    def generations(self, text=GENERATIONS):
        self.write("sys/kernel/mm/lru_gen/enabled", "0x0007\n")
        if os.path.exists(f"{self.folder}/{LRU_GEN}"):
            self.past = self.commands()
        self.write(LRU_GEN, text)

    def commands(self):
        """What was written to the file of generations."""
        return self.past + [line for line in self.read(LRU_GEN).split("\n")
                            if line[:1] in ("+", "-")]


class Agent:
    """The program, with us as its host."""

    def __init__(self, tree, *arguments, sock=None, port=None):
        self.ours, theirs = sock, None
        if not port:
            self.ours, theirs = socket.socketpair()
            port = f"fd:{theirs.fileno()}"
        self.process = subprocess.Popen(
            [AGENT, "--root", tree.folder, "--port", port, *arguments],
            pass_fds=[theirs.fileno()] if theirs else [], stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        if theirs:
            theirs.close()
            self.use(self.ours)

    def use(self, sock):
        self.ours = sock
        sock.settimeout(hang_limit())
        self.lines = sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.errors = self.process.communicate()[1].decode()
        if self.ours:
            self.ours.close()

    def next(self):
        line = self.lines.readline()
        assert line.endswith(b"\n") and len(line) <= 4096, line
        return json.loads(line)

    def until(self, msg):
        while True:
            message = self.next()
            if message["msg"] == msg:
                return message

    def say(self, **keys):
        self.raw(json.dumps({k.replace("_", "-"): v for k, v in keys.items()}).encode())

    def raw(self, line):
        self.ours.sendall(line + b"\n")

    def begin(self, **config):
        """Through hello and config; the hello and the first status."""
        hello = self.next()
        self.say(msg="config", **{"interval_ms": 60000, "min": 256 * MiB, "size": 256 * MiB,
                                  **config})
        return hello, self.until("status")


@test
def hello_comes_first_then_status_as_often_as_asked_for():
    with scratch() as folder:
        tree = Tree(folder)
        with Agent(tree) as agent:
            start = time.monotonic()
            hello, status = agent.begin(interval_ms=200)
            assert hello == {"msg": "hello", "version": 1, "agent": hello["agent"],
                             "kernel": os.uname().release, "can": ["status", "working-set"]}, hello
            assert status == {
                "msg": "status", "total": 256 * MiB, "available": 210 * MiB, "free": 200 * MiB,
                "file": 30 * MiB, "swap-free": 0, "some-us": 1234567, "full-us": 7654,
                "refault": 5 * PAGE, "evicted": 0, "oom-kills": 2}, status
            for _ in range(5):
                agent.until("status")
            took = time.monotonic() - start
            assert took >= 0.9, took
            agent.say(msg="config", interval_ms=60000)
            agent.until("status")
            agent.say(msg="ask", what="status")
            agent.until("status")


def used_fast(tree):
    """Takes 96 MiB in a quarter of a second; False, and nothing is taken, when that took too long to
    be fast."""
    start = time.monotonic()
    for _ in range(12):
        tree.use(8)
        time.sleep(0.02)
    if time.monotonic() - start <= 0.5:
        return True
    tree.use(-96)
    return False


@test
def memory_is_asked_for_before_there_is_none():
    with scratch() as folder:
        tree = Tree(folder)
        with Agent(tree) as agent:
            agent.begin()
            # 400 MiB/s, and half of it is still there.
            start = time.monotonic()
            while not used_fast(tree):
                print("# this machine is too slow to use 100 MiB in half a second", flush=True)
            need = agent.until("need")
            assert need["why"] == "low" and need["bytes"] >= 64 * MiB, need
            assert need["available"] >= 100 * MiB and need["total"] == 256 * MiB, need
            tree.set(MemAvailable=10 * MiB)
            # It says so again until something comes, but not too often: 0.1 s are between two.
            for _ in range(5):
                agent.say(msg="answer", granted=64 * MiB, why="granted", size=320 * MiB)
                need = agent.until("need")
            assert time.monotonic() - start >= 0.5
            assert need["bytes"] >= 32 * MiB, need
            # What never comes is asked for less and less often: after 0.2, 0.4, 0.8 and 1.6 s.
            for _ in range(5):
                agent.say(msg="answer", granted=0, why="max", size=256 * MiB)
                agent.until("need")
            assert time.monotonic() - start >= 3.5
            # A slot of the bucket comes soon: not always on a machine that is late, but never if it
            # was asked for as rarely as before.
            for _ in range(10):
                agent.say(msg="answer", granted=0, why="rate", size=256 * MiB)
                start = time.monotonic()
                agent.until("need")
                if time.monotonic() - start <= 0.6:
                    break
            else:
                raise AssertionError("it waits for long each time")
            # Enough: nothing more is asked for.
            tree.set(MemTotal=512 * MiB, MemAvailable=256 * MiB)
            agent.say(msg="ask", what="status")
            agent.until("status")
            time.sleep(0.6)
            agent.say(msg="ask", what="status")
            assert agent.next()["msg"] == "status"


@test
def what_the_host_takes_is_no_use():
    with scratch() as folder:
        tree = Tree(folder)
        with Agent(tree) as agent:
            agent.begin()
            # A balloon, memory that is unplugged.
            for left in range(210, 40, -8):
                tree.set(MemAvailable=left * MiB)
                time.sleep(0.02)
            agent.say(msg="ask", what="status")
            assert agent.next()["msg"] == "status"
            tree.set(MemAvailable=30 * MiB)
            assert agent.until("need")["bytes"] == 32 * MiB


@test
def what_is_spare_is_offered_once_nothing_needs_it():
    with scratch() as folder:
        tree = Tree(folder)
        tree.set(MemTotal=1024 * MiB, MemAvailable=800 * MiB, MemFree=700 * MiB)
        with Agent(tree) as agent:
            agent.begin(size=1024 * MiB)
            spare = agent.until("spare")
            assert 500 * MiB <= spare["bytes"] <= 700 * MiB, spare
            # Not below what the host leaves it.
            agent.say(msg="config", min=1000 * MiB, size=1024 * MiB)
            assert agent.until("spare")["bytes"] == 24 * MiB
            agent.say(msg="config", size=1000 * MiB)
            agent.say(msg="ask", what="status")
            agent.until("status")
            time.sleep(2.5)
            agent.say(msg="ask", what="status")
            assert agent.next()["msg"] == "status"


@test
def working_sets_are_summed_over_cgroups():
    with scratch() as folder:
        tree = Tree(folder)
        tree.generations()
        with Agent(tree) as agent:
            hello, _ = agent.begin()
            assert hello["can"] == ["status", "working-set", "cache-age"], hello
            agent.say(msg="ask", what="working-set")
            zero, one = agent.next(), agent.next()
            assert zero["msg"] == one["msg"] == "working-set"
            assert (zero["node"], one["node"]) == (0, 1)
            assert zero["source"] == "mglru"
            bins = {b.get("idle-ms"): (b["anon"] // PAGE, b["file"] // PAGE)
                    for b in zero["bins"]}
            assert bins == {1000: (400, 4000), 2000: (6, 2), 4000: (0, 0), 8000: (0, 0),
                            16000: (0, 0), 32000: (300, 0), 64000: (200, 2001),
                            128000: (110, 1020), None: (0, 0)}, bins
            assert [b.get("idle-ms") for b in one["bins"]] == [1000, 2000, None]
            agent.say(msg="ask", what="working-set", node=1)
            assert agent.next() == one
            agent.say(msg="ask", what="working-set", node=9)
            missing = agent.next()
            assert missing["node"] == 9 and missing["error"] and not missing["bins"], missing
            assert not tree.commands(), "the youngest generations are young"
            # The next answer shall tell more.
            tree.generations(GENERATIONS.replace("        900 ", "      30900 ")
                             .replace("        100 ", "      60100 ")
                             .replace("       1000 ", "      31000 "))
            agent.say(msg="ask", what="working-set", node=1)
            agent.next()
            wait_until(lambda: tree.commands() == ["+ 1 0 3 1 1", "+ 1 1 5 1 1", "+ 42 0 10 1 1"],
                       5, "new generations")


@test
def without_generations_the_lists_have_to_do():
    with scratch() as folder:
        with Agent(Tree(folder)) as agent:
            agent.begin()
            agent.say(msg="ask", what="working-set")
            assert agent.next() == {
                "msg": "working-set", "node": 0, "source": "lru", "bins": [
                    {"idle-ms": 1, "anon": 22 * PAGE, "file": 44 * PAGE},
                    {"anon": 11 * PAGE, "file": 33 * PAGE}]}
            assert agent.next()["bins"][1] == {"anon": 0, "file": 2 * PAGE}


def evictions(tree):
    return [tuple(map(int, c.split()[1:])) for c in tree.commands() if c[0] == "-"]


def rests(tree):
    """Nothing is evicted in a time that is twice what is between two evictions."""
    seen = len(evictions(tree))
    time.sleep(0.6)
    return len(evictions(tree)) == seen


@test
def old_page_cache_goes_and_nothing_else():
    with scratch() as folder:
        tree = Tree(folder)
        tree.generations()
        with Agent(tree) as agent:
            start = time.monotonic()
            agent.begin(cache_age_s=2)
            wait_until(lambda: len(evictions(tree)) >= 2, 0, "an eviction")
            # Not before the age.
            assert time.monotonic() - start >= 1.9
            # All of the oldest generations of both cgroups; in node 1 nothing is cold.
            assert set(evictions(tree)) == {(1, 0, 0, 0, 1000), (42, 0, 7, 0, 20)}, evictions(tree)
            tree.generations(re.sub(r"(?m)^( +0 +70000 +100 +)1000 ", r"\1   0 ", GENERATIONS)
                             .replace("10         20 ", "10          0 "))
            # Then the next ones, in pieces of at most 16 MiB.
            wait_until(lambda: (1, 0, 1, 0, 2000) in evictions(tree), 5, "the next generation")
            assert {c[2] for c in evictions(tree) if c[:2] == (1, 0)} == {0, 1}
            # What is read again holds it up.
            tree.set(workingset_refault_file=100000)
            wait_until(lambda: rests(tree), 0, "no more evictions")
            # And the host can end it.
            agent.say(msg="config", cache_age_s=0)
            agent.say(msg="ask", what="status")
            agent.until("status")
            seen = len(tree.commands())
            time.sleep(1)
            assert len(tree.commands()) == seen


@test
def stalls_keep_page_cache_where_it_is():
    for _ in range(10):
        with scratch() as folder:
            tree = Tree(folder)
            tree.generations()
            with Agent(tree) as agent:
                agent.begin(cache_age_s=1)
                longest, last = 0, time.monotonic()
                for tenth in range(20):
                    tree.write("proc/pressure/memory",
                               f"some avg10=9.00 avg60=0.00 avg300=0.00 total={tenth * 5000:08}\n"
                               "full avg10=0.00 avg60=0.00 avg300=0.00 total=1\n")
                    time.sleep(0.1)
                    longest, last = max(longest, time.monotonic() - last), time.monotonic()
                found = evictions(tree)
                wait_until(lambda: any(c[0] == "+" for c in tree.commands()), 0,
                           "generations begin all the same")
        if longest < 0.25:
            assert not found, found
            return
        print(f"# for {longest:.2f} s we have shown no stall: that is nothing to test", flush=True)
    raise AssertionError("this machine never lets us show stalls for two seconds")


@test
def memory_reclaim_does_without_generations():
    with scratch() as folder:
        tree = Tree(folder)
        tree.write("sys/fs/cgroup/memory.reclaim", "")
        with Agent(tree) as agent:
            hello, _ = agent.begin(cache_age_s=1)
            assert "cache-age" in hello["can"]
            wait_until(lambda: tree.read("sys/fs/cgroup/memory.reclaim"), 10, "an eviction")
            first = tree.read("sys/fs/cgroup/memory.reclaim").split("\n")[0]
            assert first == f"{10 * MiB} swappiness=0", first


@test
def the_host_may_go_and_come_back():
    with scratch() as folder:
        tree = Tree(folder)
        path = f"{folder}/port"
        with Agent(tree, port=path) as agent:
            time.sleep(0.3)  # there is nobody yet
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen()
                listener.settimeout(hang_limit())
                for _ in range(3):
                    sock, _ = listener.accept()
                    agent.use(sock)
                    hello, _ = agent.begin()
                    assert hello["msg"] == "hello"
                    agent.lines.close()
                    sock.close()
                sock, _ = listener.accept()
            agent.use(sock)
            agent.begin()
            assert agent.process.poll() is None


@test
def garbage_from_the_host_does_nothing():
    with scratch() as folder:
        with Agent(Tree(folder)) as agent:
            agent.begin()
            for line in (b"", b"{", b"[]", b"nonsense", b"\xff\x00\x01", b'{"msg":1}',
                         b'{"msg":"config","interval-ms":-5}', b'{"msg":"config","interval-ms":1e3}',
                         b'{"msg":"config","interval-ms":"100"}',
                         b'{"msg":"config","interval-ms":99999999999999999999}',
                         b'{"msg":"config","interval-ms":9223372036854775808}',
                         b'{"msg":"config","interval-ms":100} x', b'{"msg":"config"', b'{"msg"}',
                         b'{"msg":"ask","what":"everything"}', b'{"msg":"unknown","a":[{"b":{}}]}',
                         b'{"msg":"ask","what":"status","a":[[[[[1]]]]]}',
                         b'{"msg":"ask","what":"status","a":[1,]}',
                         b'{"msg":"ask","what":"stat\\u0075s"}', b'{"msg":"ask"', b"{}" * 100,
                         b"[" * 4000, b'{"msg":"' + b"x" * 4000 + b'"}',
                         b'{"msg":"ask","what":"status","long":"' + b"y" * 5000 + b'"}',
                         b"z" * 100000, b'{"msg":"answer","granted":1,"why":7}'):
                agent.raw(line)
            # What is lawful, however it is written, and whatever is in it that is not known.
            agent.raw(b' { "later" : [ {"a": [true, null, -1.5e3, "\\"}"]} ] , "what":"status",\t'
                      b'"msg" : "ask" } ')
            assert agent.next()["msg"] == "status"
            agent.raw(b'{"msg":"ask","what":"status","pad":"' + b"p" * 4057 + b'"}')
            assert agent.next()["msg"] == "status"
            agent.ours.setblocking(False)
            try:
                assert not agent.ours.recv(4096), "only those two were answered"
            except BlockingIOError:
                pass


@test
def a_host_that_does_not_read_stops_nothing():
    with scratch() as folder:
        with Agent(Tree(folder)) as agent:
            agent.ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            agent.begin()
            for _ in range(3000):
                agent.say(msg="ask", what="status")
            time.sleep(0.5)
            assert agent.process.poll() is None
            agent.ours.settimeout(1)
            try:
                while agent.next():
                    pass
            except (TimeoutError, socket.timeout):
                pass
            agent.use(agent.ours)
            agent.say(msg="ask", what="status")
            assert agent.next()["msg"] == "status"


@test
def it_says_what_is_wrong_with_its_options():
    for arguments, code, pattern in ((["--help"], 0, "usage: "), (["--version"], 0, r"^ebb-agent \d"),
                                     (["--nonsense"], 2, "no option '--nonsense'"),
                                     (["--port"], 2, "--help"),
                                     (["--port", "fd:99"], 1, "cannot open fd:99"),
                                     (["--root", "/nowhere"], 1, "cannot read /proc/meminfo")):
        done = subprocess.run([AGENT, *arguments], check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=hang_limit())
        assert done.returncode == code and re.search(pattern, done.stdout), (arguments, done)


@test
def it_can_be_installed():
    with scratch() as folder:
        env = {k: v for k, v in os.environ.items()
               if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        done = subprocess.run(["make", "-s", "--no-print-directory", "install-agent",
                               f"DESTDIR={folder}/a b", "PREFIX=/opt/ebb"], cwd=ROOT, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        assert done.returncode == 0, done.stdout
        program = f"{folder}/a b/opt/ebb/sbin/ebb-agent"
        assert os.stat(program).st_mode & 0o777 == 0o755
        with open(f"{folder}/a b/opt/ebb/lib/systemd/system/ebb-agent.service",
                  encoding="ascii") as f:
            unit = f.read()
        assert "\nExecStart=/opt/ebb/sbin/ebb-agent\n" in unit, unit
        if shutil.which("systemd-analyze"):
            copy = f"{folder}/ebb-agent.service"
            with open(copy, "w", encoding="ascii") as f:
                f.write(unit.replace("/opt/ebb/sbin/ebb-agent", AGENT))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert "ebb-agent" not in done.stdout, done.stdout


@test
def it_is_small_and_idles():
    with scratch() as folder:
        tree = Tree(folder)
        tree.generations()
        with Agent(tree) as agent:
            agent.begin(interval_ms=1000)
            agent.say(msg="ask", what="working-set")
            agent.next()
            with open(f"/proc/{agent.process.pid}/smaps_rollup", encoding="ascii") as f:
                rss = int(re.search(r"^Rss: +(\d+)", f.read(), re.MULTILINE).group(1))
            start = time.monotonic()
            cpu, waits = cost(agent.process.pid)
            time.sleep(IDLE_SECONDS)
            cpu, waits = (b - a for a, b in zip((cpu, waits), cost(agent.process.pid)))
            took = time.monotonic() - start
            print(f"# {rss} KiB resident; with 210 MiB available {cpu / took / 1e7:.3f} % of "
                  f"a processor (the goal is 0.1), {waits} waits in {took:.1f} s")
            assert rss <= 1024, rss
            assert waits <= 10 * took, (waits, took)


def cost(pid):
    """ns on a processor, and how often it has begun to wait."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        ns = int(f.read().split()[0])
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return ns, int(re.search(r"(?m)^voluntary_ctxt_switches:\s+(\d+)", f.read()).group(1))


main()
