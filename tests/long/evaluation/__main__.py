"""Prints a table of docs/evaluation.md: ``python -m tests.long.evaluation grid``, and so on."""

import sys

from tests.long.evaluation.censoring import censoring_lines
from tests.long.evaluation.outcomes import outcome_lines
from tests.long.evaluation.tables import TABLES

OTHERS = {"outcomes": outcome_lines, "censoring": censoring_lines}
for line in (TABLES | OTHERS)[sys.argv[1]]():
    print(line, flush=True)
