# SPDX-License-Identifier: Apache-2.0
"""A client of a port of the virtio console, or of hvc0."""
import socket

from vm import hang_limit


class PortClient(socket.socket):
    """Connected to a socket beside the control socket of VM."""

    def __init__(self, vm, ending):
        super().__init__(socket.AF_UNIX)
        self.settimeout(hang_limit())
        self.connect(f"{vm.folder}/qmp.{ending}")

    def until(self, end):
        """What comes, up to END."""
        data = b""
        while not data.endswith(end):
            piece = self.recv(1)
            assert piece, f"the end after {data!r}"
            data += piece
        return data

    def line(self):
        return self.until(b"\n")

    def is_silent(self, seconds=0.3):
        self.settimeout(seconds)
        try:
            return self.recv(1, socket.MSG_PEEK) is None
        except socket.timeout:
            return True
        finally:
            self.settimeout(hang_limit())
