# SPDX-License-Identifier: Apache-2.0
"""qmp: a query-status from sending to answer, and a stop or cont until a second client knows.

Two VMs at a time, 128 MiB, one vCPU that halts (guests/spin.S without its exit port), QEMU in its
shortest form as in row_start.py; rounds of TRIPS requests, then of PAIRS of stop and cont,
alternate between them on connections that stay open. qmp_l1.py says what is timed. Where there is
no /dev/kvm both run inside the rig: only the ratios mean anything then.
"""
import json
import os

from bench import (EBB, ROOT, RUNS, SPIN, Row, in_rig, installed_qemu, log, machine_load, median,
                   output, say, spread)
from row_start import BARE

TRIPS = 200
PAIRS = 20
RIG_SECONDS = 300


def rows():
    qemu = installed_qemu()
    name = f"QEMU {qemu.version} microvm"
    sockets = (f"unix:{mark},server=on,wait=off" for mark in ("@qmp", "@watch"))
    job = {"rounds": RUNS, "trips": TRIPS, "pairs": PAIRS,
           "ebb": [EBB, "run", "-m", "128M", "-k", SPIN, "--qmp", "@qmp"],
           "qemu": qemu.microvm(BARE, "-m", "128", "-kernel", SPIN,
                                *(word for socket in sockets for word in ("-qmp", socket)))}
    say(f"qmp: {RUNS} rounds of {TRIPS} requests and {2 * PAIRS} events on ebb and {name}")
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        where = "this host"
        result = json.loads(output("/usr/bin/python3", "-B", f"{ROOT}/tests/bench/qmp_l1.py",
                                   json.dumps(job), timeout=RIG_SECONDS).splitlines()[-1])
    else:
        where = "the rig"
        result = in_rig("qmp_l1.py", job, RIG_SECONDS)
    for vmm, figures in result.items():
        for key, values in figures.items():
            log(f"qmp: {where}: {vmm}: {key} {spread(values)}; {machine_load()}")
    for (title, unit), key in zip(ROWS, ("trip_us", "event_us")):
        yield Row(title, unit, *(median(result[vmm][key]) for vmm in ("ebb", "qemu")), name, 1)


ROWS = [("qmp: query-status, round trip", "us"), ("qmp: stop or cont, until its event", "us")]
