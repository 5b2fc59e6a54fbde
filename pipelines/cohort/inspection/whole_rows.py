"""Rows of a table that are no records: a header again, a total, cells that stand a column too far.

Rules:

1. Such a row is one fault, not one of each of its cells.
2. A row is shifted only where its columns fit in nearly all other rows: where a whole column is
   wrong, its cells are told.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.inspection.thresholds import MANY
from pipelines.sources.column_cells import CellProblem
from pipelines.sources.faults import RecordFault
from pipelines.sources.tables.table import SourceTable, is_total, summary_fault
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import CategoryColumn

#: A row of which fewer cells do not fit is not taken for shifted.
_CELLS = 3

Problems = Mapping[str, Mapping[CellProblem, Sequence[int]]]


def rows_that_are_none(
    table: SourceTable, cohort: TableCohort
) -> tuple[NDArray[np.bool_], list[RecordFault]]:
    """Returns (records,) whether each row is a header or a total, and a fault of each kind."""
    header, totals = _headers(table), _totals(table, cohort)
    totals &= ~header
    faults = []
    if header.any():
        faults.append(
            RecordFault(
                name="header-again",
                lines=table.lines[header].tolist(),
                row_word=table.row_word,
                what="the header stands here again: two exports were joined",
                remedy="delete the line, and see that no patient is in both exports",
            )
        )
    if totals.any():
        faults.append(summary_fault(table.lines[totals].tolist(), table.row_word))
    return header | totals, faults


def _headers(table: SourceTable) -> NDArray[np.bool_]:
    repeated = np.zeros(len(table.rows), dtype=np.int64)
    for name, cells in table.cells.items():
        if name in cells.spellings:
            repeated += cells.among({name})
    return np.asarray(2 * repeated > max(1, len(table.cells)))


def _totals(table: SourceTable, cohort: TableCohort) -> NDArray[np.bool_]:
    found = np.zeros(len(table.rows), dtype=np.bool_)
    listed = {c.name: set(c.tokens) for c in cohort.features if isinstance(c, CategoryColumn)}
    for name, cells in table.cells.items():
        known = listed.get(name, set())
        words = {text for text in cells.spellings if text not in known and is_total(text)}
        if words:
            found |= cells.among(words)
    return found


def shifted_rows(table: SourceTable, problems: Problems) -> tuple[set[int], list[RecordFault]]:
    """Returns the places of rows most of whose cells do not fit, and their fault.

    Args:
        table: without the rows that are no records.
        problems: of each column, the places of each kind of problem in it.
    """
    wrong = np.zeros(len(table.rows), dtype=np.int64)
    for of_column in problems.values():
        places = [place for some in of_column.values() for place in some]
        if len(places) <= MANY * len(table.rows):
            wrong[places] += 1
    shifted = np.flatnonzero(wrong >= max(_CELLS, len(table.cells) / 3))
    if not len(shifted):
        return set(), []
    fault = RecordFault(
        name="shifted-row",
        lines=table.lines[shifted].tolist(),
        row_word=table.row_word,
        what="most cells do not fit their columns, as if they stood one column too far",
        remedy="mend the line; often a text holds the delimiter and no quotes",
    )
    return set(shifted.tolist()), [fault]
