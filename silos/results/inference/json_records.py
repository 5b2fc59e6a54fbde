"""Records as JSON: named values in, the table that they stand for out, or what is wrong with them.

A value is written as in the study: a number in the study's unit, a word of its vocabulary, a date
as text; ``null``, or a name that is left out, is a missing cell.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.sources.cells import Cells
from pipelines.sources.tables.table import SourceTable, needed_columns
from protocol.errors import MessageRefused
from protocol.study.cohort.cohort import TableCohort
from silos.results.inference.scoring_contract import reading_contract

_LONGEST = 1000


def contract_of_json(cohort: TableCohort) -> TableCohort:
    """Returns the contract of records in a request: each is a patient's own, without a key."""
    return cohort.model_copy(update={"patient_key": "row"})


def table_of_json(records: Sequence[Any], cohort: TableCohort, site: str) -> SourceTable:
    """Returns the table that some JSON records stand for, each a row counted from 1.

    Args:
        records: of a request.
        cohort: as ``contract_of_json`` gives it.
        site: for messages.

    Raises:
        MessageRefused: a record is no object, names what the model does not read, or holds what is
            no cell; says which, never a value.
    """
    names = needed_columns(reading_contract(cohort), ())
    lacking = "" if "" in cohort.missing or not cohort.missing else cohort.missing[0]
    columns: dict[str, list[str]] = {name: [] for name in names}
    for number, record in enumerate(records, start=1):
        if not isinstance(record, Mapping):
            raise MessageRefused(f"record {number} is no object of names and values")
        if set(record) - set(names):
            raise MessageRefused(
                f"record {number} has a name that the model does not read; GET /model lists those "
                "that it reads: send no others"
            )
        for name in names:
            columns[name].append(_cell(record.get(name), name, number, lacking))
    count = len(records)
    return SourceTable(
        site=site,
        file="the request",
        cells={name: Cells.of(cells) for name, cells in columns.items()},
        lines=np.arange(1, count + 1),
        rows=np.arange(count),
        repeated=np.array([], dtype=np.int64),
        row_word="row",
    )


def _cell(value: Any, name: str, number: int, lacking: str) -> str:
    """Returns a JSON value as the text of a cell."""
    if value is None:
        return lacking
    if isinstance(value, str) and len(value) <= _LONGEST:
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    raise MessageRefused(
        f"record {number}, {name}: expected a number, a text of at most {_LONGEST} letters or null"
    )
