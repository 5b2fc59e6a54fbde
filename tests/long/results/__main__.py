"""Prints the tables of docs/results.md: ``python -m tests.long.results [heart disease|TCGA-BRCA]``.

About five minutes for heart disease and a quarter of an hour for TCGA-BRCA, on two cores.
"""

import sys

from tests.long.results.cohorts import COHORTS
from tests.long.results.table import lines

if __name__ == "__main__":
    for cohort in sys.argv[1:] or COHORTS:
        print(f"\n{cohort}\n", flush=True)
        for line in lines(cohort):
            print(line, flush=True)
