"""Prints MR-MTL's tables of docs/results.md.

Usage:  python -m tests.long.personalisation [COHORT [EPSILON]]

A cohort is a name of ``COHORTS``, such as ``"heart disease"``.
"""

import sys

from tests.long.personalisation.cohorts import COHORTS
from tests.long.personalisation.table import EPSILONS, lines

if __name__ == "__main__":
    for cohort in sys.argv[1:2] or COHORTS:
        for epsilon in [float(one) for one in sys.argv[2:]] or EPSILONS:
            print(f"\n{cohort}, epsilon {epsilon:g}\n", flush=True)
            for line in lines(cohort, epsilon):
                print(line, flush=True)
