"""Prints a table of docs/evaluation.md: ``python -m tests.long.evaluation grid``, and so on."""

import sys

from tests.long.evaluation.outcomes import outcome_lines
from tests.long.evaluation.tables import TABLES

for line in (TABLES | {"outcomes": outcome_lines})[sys.argv[1]]():
    print(line, flush=True)
