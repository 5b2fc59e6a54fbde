"""Prints the tables of docs/results.md: ``python -m tests.long.results [TABLE]``.

A table is one of heart disease, TCGA-BRCA and synthetic. About five minutes for heart disease and
for synthetic, and a quarter of an hour for TCGA-BRCA, on two cores.
"""

import sys

from tests.long.results import synthetic, table
from tests.long.results.cohorts import COHORTS

if __name__ == "__main__":
    for name in sys.argv[1:] or (*COHORTS, "synthetic"):
        print(f"\n{name}\n", flush=True)
        for line in synthetic.lines() if name == "synthetic" else table.lines(name):
            print(line, flush=True)
