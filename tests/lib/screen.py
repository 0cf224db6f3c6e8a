# SPDX-License-Identifier: Apache-2.0
"""What a terminal shows after some output: as much of ECMA-48 as ebb uses, an error for more."""
import re

TOKEN = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b|[\x00-\x1f]|[^\x00-\x1f]")


class Screen:
    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.lines = [""]  # those scrolled out at the top included
        self.row = self.column = 0

    def feed(self, data):
        for token in TOKEN.finditer(data.decode()):
            self.take(token.group(0), token.group(1), token.group(2))
        return self

    def take(self, text, number, command):
        line = self.lines[self.row]
        if command == "A":
            self.row = max(self.row - int(number or 1), self.top())
        elif command == "K" and not number:
            self.lines[self.row] = line[:self.column]
        elif command == "J" and not number:
            self.lines[self.row:] = [line[:self.column]]
        elif text == "\r":
            self.column = 0
        elif text == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        elif command or text < " ":
            raise AssertionError(f"the terminal does not know {text!r}")
        else:
            if self.column == self.columns:
                self.column = 0
                self.take("\n", None, None)
                line = self.lines[self.row]
            line = line.ljust(self.column)
            self.lines[self.row] = line[:self.column] + text + line[self.column + 1:]
            self.column += 1

    def top(self):
        """Number of the first line that can be seen."""
        return max(0, len(self.lines) - self.rows)

    def visible(self):
        return [line.rstrip() for line in self.lines[self.top():]]
