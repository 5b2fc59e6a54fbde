"""CSV files, read as text: a table of the columns that a study needs.

Rules:

1. A file is read as text; what a cell means is left to ``table_encoding``.
2. What does not fit is told with column and line, all of it at once; a message
   holds names, line numbers and counts, never the content of a cell.
3. How a file is written (delimiter, encoding) may differ from hospital to
   hospital; what its cells mean may not.
"""

import csv
import io
import itertools
import json
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.sources.cells import GrowingCells
from pipelines.sources.faults import RecordFault, unreadable
from pipelines.sources.tables.file_kinds import file_kind
from pipelines.sources.tables.table import SourceTable, needed_columns, places_of, repeated_rows_of
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import Decimal, Encoding, TableCohort
from protocol.study.cohort.columns import NumberColumn

#: Larger tables belong into a database; the file is held in memory as text.
MAX_BYTES = 2 * 10**9


@dataclass(frozen=True, kw_only=True)
class CsvDialect:
    """The CSV dialect of a hospital's own file; None where it is as the contract says."""

    delimiter: str | None = None
    decimal: Decimal | None = None
    encoding: Encoding | None = None


_EXCHANGED = str.maketrans(",.", "._")
_DIGITS = re.compile(r"[+-]?[0-9.,]+([eE][+-]?[0-9]+)?")
#: A file that is written as the contract says.
AS_DECLARED = CsvDialect()


def read_csv(
    path: Path,
    cohort: TableCohort,
    *,
    site: str,
    keep: Sequence[str],
    dialect: CsvDialect = AS_DECLARED,
) -> SourceTable:
    """Returns the needed columns of a CSV file, and the faults that were found in it.

    Raises:
        CohortRefused: unreadable, no text, empty, wrongly encoded or delimited.
    """
    delimiter = dialect.delimiter or cohort.delimiter
    text = _text(path, dialect.encoding or cohort.encoding, site)
    lines_read = _records_of(text, delimiter, site, path.name)
    first = next(lines_read, None)
    if first is None:
        raise CohortRefused(
            f"site {site}: the file of records {path.name!r} is empty: export it again"
        )
    names = [column.name for column in cohort.columns]
    if len(first[1]) == 1 != len(names):
        _refuse_delimiter(first[1][0], delimiter, site, path.name)
    if cohort.header:
        names = [name.strip() for name in first[1]]
        if not set(names) & set(needed_columns(cohort, keep)):
            raise CohortRefused(
                f"site {site}: {path.name}: line {first[0]} names none of the study's columns; the "
                "first line must hold their names, or the study must say header: false"
            )
    else:
        _check_declared(len(first[1]), len(names), site, path.name)
        lines_read = itertools.chain([first], lines_read)
    places, faults = places_of(names, needed_columns(cohort, keep))
    columns = [(GrowingCells(), place) for place in places.values()]
    lines, whole = array("q"), array("q")
    odd: list[tuple[int, int]] = []
    for line, written in lines_read:
        if len(written) != len(names):
            odd.append((line, len(written)))
            continue
        lines.append(line)
        written = [cell.strip() for cell in written]
        whole.append(hash(tuple(written)))
        for column, place in columns:
            column.add(written[place])
    cells = {name: column.cells() for name, (column, _) in zip(places, columns, strict=True)}
    if (dialect.decimal or cohort.decimal) == ",":
        for name in {c.name for c in cohort.features if isinstance(c, NumberColumn)} & set(cells):
            cells[name] = cells[name].respelled(_with_point)
    return SourceTable(
        site=site,
        file=path.name,
        cells=cells,
        lines=np.array(lines, dtype=np.int64),
        rows=np.arange(len(lines), dtype=np.int64),
        repeated=repeated_rows_of(whole),
        faults=(*_uneven(odd, len(names)), *faults),
    )


def _with_point(cell: str) -> str:
    """Returns a number that is written with a decimal comma as the contract writes it.

    A point in it, as between thousands, leaves no number: nobody guesses what it means.

    >>> [_with_point(cell) for cell in ("37,8", "1.250", "NA, since May")]
    ['37.8', '1_250', 'NA, since May']
    """
    return cell.translate(_EXCHANGED) if _DIGITS.fullmatch(cell) else cell


def _records_of(text: str, delimiter: str, site: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yields every line that is not blank: its number, from 1, and its cells."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise CohortRefused(
            f"site {site}: {file}: line {reader.line_num}: not CSV (an open quote, or a cell too "
            "long)"
        ) from error


def _text(path: Path, encoding: Encoding, site: str) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CohortRefused(
                f"site {site}: the file of records {path.name!r} exceeds {MAX_BYTES} bytes: "
                "leave out columns that the study does not read"
            )
        data = path.read_bytes()
    except OSError as error:
        raise CohortRefused(unreadable(site, path, error)) from error
    kind = file_kind(data)
    if kind is not None:
        raise CohortRefused(
            f"site {site}: the file of records {path.name!r} is {kind.name}, not CSV text; "
            f"{kind.remedy}"
        )
    try:
        return data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CohortRefused(
            f"site {site}: {path.name}: line {line}: not {encoding} text; save the file as "
            f"{encoding}, or say how it is written: {_IN_SITE_FILE.format('encoding: latin-1')}"
        ) from error


#: Where a hospital says how its own file is written.
_IN_SITE_FILE = (
    "{} in the contract, or under data in a hospital's site file (a simulation reads every file as "
    "the contract says: save this one so)"
)


def _check_declared(found: int, declared: int, site: str, file: str) -> None:
    if found != declared:
        raise CohortRefused(
            f"site {site}: {file}: the file has {found} columns, the contract declares {declared}; "
            "a file without header needs every column declared, in order"
        )


def _uneven(odd: list[tuple[int, int]], width: int) -> tuple[RecordFault, ...]:
    if not odd:
        return ()
    return (
        RecordFault(
            column=None,
            lines=[line for line, _ in odd],
            what=f"{odd[0][1]} cells where {width} were expected",
            remedy="mend the line, or put a cell that holds the delimiter in quotes",
        ),
    )


def _refuse_delimiter(line: str, declared: str, site: str, file: str) -> None:
    other = next((mark for mark in (",", ";", "\t", "|") if mark != declared and mark in line), "")
    if other:
        raise CohortRefused(
            f"site {site}: {file}: the columns seem to be separated by {other!r}, expected "
            f"{declared!r}; write {_IN_SITE_FILE.format(f'delimiter: {json.dumps(other)}')}"
        )
