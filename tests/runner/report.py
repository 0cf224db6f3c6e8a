# SPDX-License-Identifier: Apache-2.0
"""What test programs say (TAP, Criterion's too), counted and put into lines."""
import os
import re

TAP = re.compile(r"^(not )?ok\b(?:\s+\d+)?(?:\s*-)?\s*(.*)$")
SKIP = re.compile(r"#\s*SKIP\S*\s*(.*)$", re.IGNORECASE)
SECONDS = re.compile(r"\s+\(\d+\.\d+s\)$")  # Criterion's; lists of names are compared
# A leak found in a test's own process changes neither Criterion's verdict nor its exit code.
SANITIZER = re.compile(r"ERROR: (?:Address|Leak)Sanitizer.*|WARNING: ThreadSanitizer.*|"
                       r"runtime error:.*")
WHY = 12  # lines


class Report:
    """Of one program: how many tests did what, and the lines to print."""

    def __init__(self, suite, program):
        self.suite, self.program = suite, os.path.basename(program)
        self.passed = self.failed = self.skipped = 0
        self.lines, self.names, self.why = [], [], []

    @property
    def total(self):
        return self.passed + self.failed + self.skipped

    def show(self, mark, name, detail=""):
        self.lines.append(f"{mark:5} {self.suite}: {self.program}: {name}{detail}")

    def ok(self, name):
        self.passed += 1
        self.names.append(("passed", name))
        if os.environ.get("V"):
            self.show("ok", name)

    def fail(self, name):
        self.failed += 1
        self.names.append(("failed", name))
        self.show("FAIL", name)

    def skip(self, name, reason=""):
        self.skipped += 1
        self.names.append(("skipped", name))
        self.show("skip", name, f" ({reason})" if reason else "")

    def quote(self, output):
        """What the program said; WHY keeps what stands before each failure, or at the end."""
        lines = output.splitlines()
        self.lines.append("      | " + "\n      | ".join(lines[-200:]))
        ends = [n for n, line in enumerate(lines) if line.lstrip().startswith("not ok")]
        for end in ends or [len(lines)]:
            self.why += lines[max(end - WHY, 0):end + 1]

    def repeat(self):
        """The failures alone, for the end of a long log."""
        failed = [f"FAIL  {self.suite}: {self.program}: {name}"
                  for state, name in self.names if state == "failed"]
        return failed + [f"      | {line}" for line in self.why]

    def take(self, line):
        """Counts a line of TAP; the test's name, or None when it is no such line."""
        found = TAP.match(line.strip())
        if not found:
            return None
        name = SECONDS.sub("", found.group(2))
        skip = SKIP.search(name)
        if found.group(1):
            self.fail(name)
        elif skip:
            self.skip(name[:skip.start()].strip(), skip.group(1))
        else:
            self.ok(name)
        return name
