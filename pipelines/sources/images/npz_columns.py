"""Columns beside images: arrays of numbers or text, read as a table's columns are.

Rules:

1. An entry is a cell: a number, or a text without the blanks around it. What cells mean is
   decided in ``column_cells``; beside the contract's codes NaN and an empty text are missing.
2. Every fault of every array is told at once, with array and entry, counted from 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import EncodingNotes
from pipelines.sources.cells import Cells
from pipelines.sources.column_cells import (
    CellProblem,
    SourceProblems,
    column_numbers,
    conversions_of,
    missing_among,
    notes_of,
    read_cells,
    reading_of,
    rows_with,
)
from pipelines.sources.faults import RecordFault, refusal
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.vocabulary import canonical_token

_IN_ARRAYS = SourceProblems(
    missing=CellProblem(
        name="missing-cell",
        what="the entry is missing",
        remedy="fill it, or in the study write impute: VALUE for the column",
    ),
    comma=CellProblem(
        name="decimal-comma",
        what="a number with a decimal comma",
        remedy="write the array as numbers",
    ),
)
#: What is missing whatever the contract says.
_ALWAYS_MISSING = frozenset({"", "nan"})


def cells_of(values: NDArray[Any]) -> Cells:
    """Returns an array's entries as a table's cells.

    >>> list(cells_of(np.array([38.5, 40.0, np.nan]))), list(cells_of(np.array([" f ", ""])))
    (['38.5', '40', 'nan'], ['f', ''])
    """
    read = str.strip if values.dtype.kind == "U" else canonical_token
    return Cells.of(map(read, values.tolist()))


def encode_columns(
    parts: Mapping[str, Mapping[str, Cells]],
    cohort: ImageCohort,
    *,
    site: str,
    file: str,
    units: Mapping[str, str] | None = None,
) -> tuple[NDArray[np.float32], EncodingNotes]:
    """Returns the columns as numbers, by the contract alone, and what was noted of their cells.

    Args:
        parts: of each part of the file, in the order of the records, each column's cells.
        cohort: with columns.
        site: whose records these are, for messages.
        file: the file's own name, for messages.
        units: by column, the unit in which this hospital's numbers are.

    Returns:
        (records, width) numbers, and the notes, whose rows count the records from 0.

    Raises:
        CohortRefused: a line for each fault of each array.
    """
    cells = {
        column.name: Cells.joined([part[column.name] for part in parts.values()])
        for column in cohort.columns
    }
    count = len(cells[cohort.columns[0].name])
    lacking = {
        column.name: missing_among(
            cells[column.name].spellings,
            {*cohort.missing, *_ALWAYS_MISSING},
            column,
        )
        for column in cohort.columns
    }
    conversions, unknown = conversions_of(cohort.columns, units or {})
    values = {}
    faults = [problem.fault(name) for name, problem in unknown.items()]
    for column in cohort.columns:
        reading = reading_of(column, lacking[column.name], _IN_ARRAYS, conversions.get(column.name))
        values[column.name], problems = read_cells(cells[column.name], reading)
        for problem, places in problems.items():
            faults += _faults(column.name, problem, places, parts)
    if faults:
        raise refusal(site, file, faults)
    rows = np.arange(count)
    notes = notes_of(cells, rows, cohort.columns, lacking, conversions)
    missing: dict[str, NDArray[np.int64]] = {}
    for name, codes in lacking.items():
        missing |= rows_with(cells, rows, name, codes)
    return column_numbers(values, cohort.columns, count), EncodingNotes(
        read=count,
        missing=missing,
        replaced=notes.replaced,
        converted=notes.converted,
        clipped=notes.clipped,
        single_clipped_value=notes.single_clipped_value,
    )


def _faults(
    name: str,
    problem: CellProblem,
    places: Sequence[int],
    parts: Mapping[str, Mapping[str, Cells]],
) -> list[RecordFault]:
    """Returns a fault for each part's array that has the problem, with entries of that array."""
    found, start = [], 0
    for part, columns in parts.items():
        end = start + len(columns[name])
        entries = [place - start for place in places if start <= place < end]
        if entries:
            found.append(problem.fault(f"{part}_{name}", entries, of="array"))
        start = end
    return found
