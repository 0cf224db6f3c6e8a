# SPDX-License-Identifier: Apache-2.0
"""Tests as functions, results as TAP: @test, skip(), main()."""
import sys
import traceback

_tests = []


class Skip(Exception):
    pass


def skip(reason):
    raise Skip(reason)


def test(function):
    _tests.append(function)
    return function


def main():
    """Runs the tests (those whose name contains an argument, if there are any)."""
    wanted = sys.argv[1:]
    chosen = [t for t in _tests if not wanted or any(w in t.__name__ for w in wanted)]
    failed = 0
    print(f"1..{len(chosen)}", flush=True)
    for number, function in enumerate(chosen, 1):
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
            print(f"not ok {number} - {name}", flush=True)
    sys.exit(1 if failed else 0)
