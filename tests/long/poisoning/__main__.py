"""Prints the tables of docs/robustness.md: ``python -m tests.long.poisoning``.

About ten minutes on two cores. ``python -m tests.long.poisoning roll_back`` prints the tables of
runs that go back to an earlier model, in as long.
"""

import sys

from tests.long.poisoning import roll_back, table

if __name__ == "__main__":
    wanted = roll_back.lines if sys.argv[1:] == ["roll_back"] else table.lines
    for line in wanted():
        print(line, flush=True)
