"""Parquet files, read in row groups: a table of the columns that a study needs.

Rules:

1. Columns are found by name, whatever the contract says of a header: the file holds the names.
2. A null is missing, and so is what is not a number (NaN). Everything else is spelled as every
   other source spells it (``typed_cells``).
3. A column of lists, records or bytes is refused by name where the study needs it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.sources.faults import RecordFault, refusal, refused, unreadable
from pipelines.sources.tables.growing_table import ROWS_AT_ONCE, Coded, GrowingTable
from pipelines.sources.tables.table import SourceTable, needed_columns
from pipelines.sources.tables.typed_cells import spell_single
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort

if TYPE_CHECKING:
    import pyarrow

#: A larger row group is not unpacked: all of a column's part of it is in memory at once.
MAX_GROUP_BYTES = 4 * 10**9


def read_parquet(path: Path, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
    """Returns the needed columns of a Parquet file, and the faults that were found in it.

    Raises:
        CohortRefused: unreadable, not Parquet, or a needed column is of a type that is no cell.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise CohortRefused(
            f"site {site}: {path.name}: a Parquet file is read with pyarrow, not installed here: "
            "pip install 'collegium[silo]'"
        ) from error
    fault: str
    try:
        with ParquetFile(path, pre_buffer=False) as file:
            return _read(file, path.name, cohort, site, keep)
    except ArrowException as error:  # its words may hold a cell's content
        fault = type(error).__name__
    except OSError as error:
        if type(error) is not OSError:
            raise unreadable(site, path, error) from error
        fault = "damaged"
    raise refused(
        site,
        "damaged-file",
        f"the file of records {path.name!r} cannot be read as Parquet ({fault}): it is cut off, "
        "damaged or encrypted",
        "write it again",
    )


def _read(file: Any, name: str, cohort: TableCohort, site: str, keep: Sequence[str]) -> SourceTable:
    schema = file.schema_arrow
    groups = (file.metadata.row_group(n) for n in range(file.metadata.num_row_groups))
    largest = max((group.total_byte_size for group in groups), default=0)
    if largest > MAX_GROUP_BYTES:
        raise CohortRefused(
            f"site {site}: {name}: a row group of {largest} bytes, the limit is {MAX_GROUP_BYTES}: "
            "write the file in smaller row groups"
        )
    needed = set(needed_columns(cohort, keep))
    faults = [
        RecordFault(
            name="cell-of-another-type",
            column=field.name,
            what=f"of the type {_kind(field.type)}, which is no number, category or date",
            remedy="write a column for each value, or leave the column out where nothing needs it",
        )
        for field in schema
        if field.name in needed and not _is_cell(field.type)
    ]
    if faults:
        raise refusal(site, name, faults)
    if not set(schema.names) & needed:
        raise refused(
            site,
            "no-header",
            "none of the study's columns is among the file's",
            "mend their names",
            file=name,
        )
    growing = GrowingTable(
        schema.names, cohort, site=site, keep=keep, file=name, row_word="row", typed=True
    )
    read = 0
    for batch in file.iter_batches(batch_size=4 * ROWS_AT_ONCE, use_threads=False):
        rows = np.arange(read + 1, read + 1 + len(batch), dtype=np.int64)
        values: list[Coded | list[Any]] = []
        for place, column in enumerate(batch.columns):
            found = _values(column)
            if found is None and place in growing.needed:
                raise refused(
                    site,
                    "damaged-file",
                    f"column {schema.names[place]!r}: rows {read + 1} to {read + len(batch)} hold "
                    "text that is not UTF-8, or a day before the year 1 or after 9999",
                    "write the file again, text in UTF-8; is such a day a code for missing?",
                    file=name,
                )
            values.append([None] * len(batch) if found is None else found)
        growing.add(values, rows)
        read += len(batch)
    return growing.table()


def _is_cell(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_cell(kind.value_type)
    return not (
        types.is_nested(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
        or types.is_duration(kind)
        or types.is_interval(kind)
    )


def _kind(kind: "pyarrow.DataType") -> str:
    """Returns a type's name, never that of a field within it."""
    return str(kind).partition("<")[0].partition("[")[0]


def _values(column: "pyarrow.Array") -> "Coded | list[Any] | None":
    """Returns a piece of a column: its different values as Python's, and where they stand.

    None where one of them is no value of Python's: text that is not UTF-8, or a day too far away.
    """
    try:
        return _python_values(column)
    except (UnicodeError, OverflowError, ValueError):
        return None


def _python_values(column: "pyarrow.Array") -> "Coded | list[Any]":
    import pyarrow
    from pyarrow import types

    kind = column.type
    if not _is_cell(kind):
        return [repr(value) for value in column.to_pylist()]  # only to tell rows apart
    if types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pyarrow.timestamp("us", kind.tz), safe=False)
    coded = column if types.is_dictionary(kind) else column.dictionary_encode()
    values = coded.dictionary
    spelled = values.to_pylist()
    if types.is_float32(values.type) or types.is_float16(values.type):
        spelled = [None if value is None else spell_single(value) for value in spelled]
    spelled.append(None)
    places = coded.indices.fill_null(len(spelled) - 1).to_numpy(zero_copy_only=False)
    return Coded(spelled, places.astype(np.int64))
