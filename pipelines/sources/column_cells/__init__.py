"""Cells of number and category columns: text in, numbers by the contract out, or a fault.

Tables and the arrays beside images are read by these same functions.

Rules:

1. No cell's meaning depends on another cell, nor on a parser's guesses.
2. In a column of numbers a missing code is compared as a number: where ``-1``
   means missing, so do ``-1.0`` and ``-1e0``. Elsewhere it is compared as text, but for a
   column's own codes, which are compared as its vocabulary is.
3. A number in another unit is converted before anything but a missing code or a replaced text is
   looked for, and only where the hospital names a unit that the contract names.
"""

from pipelines.sources.column_cells.cell_problems import (
    CellProblem,
    SourceProblems,
    unknown_value,
)
from pipelines.sources.column_cells.column_numbers import (
    column_numbers,
    notes_of,
    read_cells,
    rows_with,
)
from pipelines.sources.column_cells.readings import (
    Reading,
    conversions_of,
    counting_missing,
    missing_among,
    number_reading,
    outside_the_range,
    reading_of,
    spelled,
)

__all__ = [
    "CellProblem",
    "Reading",
    "SourceProblems",
    "column_numbers",
    "conversions_of",
    "counting_missing",
    "missing_among",
    "notes_of",
    "number_reading",
    "outside_the_range",
    "read_cells",
    "reading_of",
    "rows_with",
    "spelled",
    "unknown_value",
]
