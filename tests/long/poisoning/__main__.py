"""Prints the tables of docs/robustness.md: ``python -m tests.long.poisoning``.

About ten minutes on two cores.
"""

from tests.long.poisoning.table import lines

if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)
