# SPDX-License-Identifier: Apache-2.0
"""A VM whose guest asks for memory (guests/asker.c): one letter, one answer."""
from vm import MiB, Vm, guest

BOOT = 64 * MiB
MAX = 320 * MiB
RATE = 64 * MiB
BLOCK = 2 * MiB


class Asker(Vm):
    """A guest of 64 MiB that may have 320."""

    def __init__(self, params="", *arguments, rate=RATE):
        super().__init__("-k", guest("asker"), "-m", "64M", "--max", "320M", "--grow-rate",
                         f"{rate // MiB}M", "--debug-exit", "--paused", "-p", params, *arguments)

    def __enter__(self):
        self.qmp.command("cont")  # from here on every event is heard
        return self

    def open(self):
        """What the host says then: min, max, size in MiB and the age of page cache in seconds."""
        self.send("o")
        return [int(n) for n in self.said("config")]

    def said(self, word):
        return self.expect(rf"^{word} (.*)\r\n").group(1).decode().split(" ")

    def need(self, letter="n"):
        self.send(letter)
        granted, size, why = self.said("answer")
        return int(granted), int(size), why

    def take(self):
        """Follows what the host asks for; MiB plugged."""
        return self.take_both()[0]

    def take_both(self):
        """The same; MiB plugged and ballooned."""
        self.send("t")
        return tuple(int(n) for n in self.said("has"))

    def autosize(self):
        return self.qmp.command("__org.ebb_query-autosize")

    def set(self, **arguments):
        return self.qmp.command("__org.ebb_set-autosize", **arguments)

    def plugged(self):
        return self.qmp.command("query-memory-size-summary")["plugged-memory"]

    def agent(self):
        return self.qmp.command("__org.ebb_query-agent")

    def events(self, name):
        """All events of that name so far, and from now on none is forgotten."""
        self.qmp.command("query-status")
        return [e["data"] for e in self.qmp.events if e["event"] == name]
