# SPDX-License-Identifier: Apache-2.0
"""balloon: what it costs to take 128 MiB of a guest's memory by inflation, the same bare-metal
guest (guests/balloon.c) on Ebb and on QEMU's microvm with a virtio-balloon-device; and what a
report of 2 MiB costs beside a bare punch of the same memory.

Where KVM is real (tests/rig; under emulation only the ratios mean anything). The guest sends what
Linux sends, 256 pages in a request, and times requests and configuration with the TSC; a request's
time is the whole by the number of requests. Ebb gathers pages and may answer before the host has
them: so a second row goes on until the host has all of it, by the blocks of the memfd or the pages
of the mapping, never by what a VMM says. balloon_l1.py has the rest.

The peer is QEMU's memfd, shared, which is what Ebb's memory is; its anonymous memory stands beside
it. shmem_enabled is `never`, Debian's; Ebb runs with --huge=auto, its default, and for the log
alone with --huge=never. System calls are counted by a tracepoint, in a round that is not timed.
"""
from bench import (RUNS, Row, helper, in_rig, installed_qemu, log, machine_load, median, say,
                   spread)

MIB, PAGES = 160, 32768
NR_ROUNDS = min(RUNS, 5)
RIG_SECONDS = 2400
EBB, SMALL, MEMFD, ANONYMOUS = "ebb", "ebb --huge=never", "memfd", "anonymous, THP"
WAYS = {EBB: {"ebb": "auto"}, SMALL: {"ebb": "never"},
        MEMFD: {"memory": "memory-backend-memfd,share=on"},
        ANONYMOUS: {"memory": "memory-backend-ram"}}
ORDERS = {"seq": "sequential", "random": "random"}
SPANS = {"guest_ns": "", "gone_ns": ", until the host has them"}
GOALS = {("seq", MEMFD): 0.25, ("random", MEMFD): 1}
REPORTS = {"4k": "on 4 KiB pages", "2M": "on a huge page"}


def request_us(rounds, span):
    """Of each timed round."""
    return [r[span] / r["requests"] / 1e3 for r in rounds[:-1]]


def nr_calls(rounds):
    """Of a request, by name, most first, and all of them."""
    counted = rounds[-1]
    calls = {name: nr / counted["requests"] for name, nr in counted["syscalls"].items()}
    return dict(sorted(calls.items(), key=lambda call: -call[1])), sum(calls.values())


def log_inflation(result):
    for way, orders in result.items():
        for order, rounds in orders.items():
            us = {span: request_us(rounds, span) for span in SPANS}
            rate = {span: 256e6 / median(us[span]) for span in SPANS}
            log(f"balloon: {ORDERS[order]}: {way}: 256 pages: us {spread(us['guest_ns'])}, "
                f"{rate['guest_ns']:.0f} pages/s; until the host has them us "
                f"{spread(us['gone_ns'])}, {rate['gone_ns']:.0f} pages/s; left of {PAGES * 4} KiB "
                f"{max(r['left'] for r in rounds) >> 10} KiB; huge before "
                f"{median([r['huge'] for r in rounds]) / (1 << 20):.0f} MiB; {machine_load()}")
            calls, total = nr_calls(rounds)
            log(f"balloon: {ORDERS[order]}: {way}: system calls for 256 pages: {total:.2f}: "
                + ", ".join(f"{name} {nr:.2f}" for name, nr in calls.items()))


def rows():
    qemu = installed_qemu()
    say(f"balloon: {NR_ROUNDS} rounds of {PAGES} pages on Ebb and on QEMU {qemu.version} microvm")
    result = in_rig("balloon_l1.py", {"mib": MIB, "pages": PAGES, "rounds": NR_ROUNDS,
                                      "report_rounds": NR_ROUNDS, "discard": helper("discard"),
                                      "qemu": qemu.command, "ways": WAYS}, RIG_SECONDS)
    inflated, reported = result["inflate"], result["report"]
    log_inflation(inflated)
    for order, span, peer in INFLATIONS:
        ours, theirs = (median(request_us(inflated[way][order], span)) for way in (EBB, peer))
        yield Row(inflation(order, span, peer), "us", ours, theirs,
                  f"QEMU {qemu.version} microvm, {peer}", GOALS.get((order, peer)))
    for order in ORDERS:
        ours, theirs = (nr_calls(inflated[way][order])[1] for way in (EBB, MEMFD))
        yield Row(calls_title(order), "calls", ours, theirs, f"QEMU {qemu.version} microvm")
    for pages, title in REPORTS.items():
        us = {who: [ns / 1e3 for ns in times] for who, times in reported[pages].items()}
        for who, values in us.items():
            log(f"balloon: report: {pages}: {who}: us {spread(values)}")
        yield Row(report_title(title), "us", median(us["ebb_ns"]), median(us["bare_ns"]),
                  "bare punch, no guest")


def inflation(order, span, peer):
    return f"inflate 256 pages, {ORDERS[order]}{SPANS[span]} ({peer})"


def calls_title(order):
    return f"system calls for 256 pages, {ORDERS[order]}"


def report_title(pages):
    return f"report 2 MiB {pages}"


INFLATIONS = [(order, span, peer) for peer in (MEMFD, ANONYMOUS) for order in ORDERS
              for span in SPANS]
ROWS = [*((inflation(*which), "us") for which in INFLATIONS),
        *((calls_title(order), "calls") for order in ORDERS),
        *((report_title(title), "us") for title in REPORTS.values())]
