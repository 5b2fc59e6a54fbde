"""CSV files, read as text and in pieces: a table of the columns that a study needs.

Rules:

1. A file is read as text; what a cell means is left to ``table_encoding``.
2. What does not fit is told with column and line, all of it at once; a message
   holds names, line numbers and counts, never the content of a cell.
3. How a file is written (delimiter, encoding) may differ from hospital to
   hospital; what its cells mean may not.
"""

import codecs
import csv
import itertools
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.sources.faults import refusal, refused, unreadable
from pipelines.sources.tables.delimited.csv_trial import HEAD, delimiter_fault
from pipelines.sources.tables.dialect import AS_DECLARED, FileDialect, respelling_of
from pipelines.sources.tables.growing_table import ROWS_AT_ONCE, GrowingTable
from pipelines.sources.tables.table import (
    SourceTable,
    UnevenLine,
    needed_columns,
    no_header,
    uneven_lines,
)
from protocol.study.cohort.cohort import TableCohort

_PIECE = 1 << 20


def read_csv(
    path: Path,
    cohort: TableCohort,
    *,
    site: str,
    keep: Sequence[str],
    dialect: FileDialect = AS_DECLARED,
) -> SourceTable:
    """Returns the needed columns of a CSV file, and the faults that were found in it.

    Raises:
        CohortRefused: unreadable, no text, empty, wrongly encoded or delimited.
    """
    delimiter = dialect.delimiter or cohort.delimiter
    encoding = dialect.encoding or cohort.encoding
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    try:
        with path.open(encoding=codec, newline="") as text:
            lines_read = _records_of(text, delimiter, site, path.name)
            return _table(lines_read, path, cohort, site, keep, dialect, delimiter, codec)
    except UnicodeError:
        line = _line_of_fault(path, codec)
    except OSError as error:
        raise unreadable(site, path, error) from error
    other = "utf-8" if encoding == "utf-16" else "latin-1"
    raise refused(
        site,
        "other-encoding",
        f"not {encoding} text",
        f"save the file as {encoding}, or say how it is written: "
        f"{_IN_SITE_FILE.format(f'encoding: {other}')}",
        file=path.name,
        lines=[line],
    )


def _table(
    lines_read: "Iterator[_Line]",
    path: Path,
    cohort: TableCohort,
    site: str,
    keep: Sequence[str],
    dialect: FileDialect,
    delimiter: str,
    codec: str,
) -> SourceTable:
    first = next(lines_read, None)
    if first is None:
        raise refused(
            site, "empty-file", f"the file of records {path.name!r} is empty", "export it again"
        )
    names = [column.name for column in cohort.columns]
    found = [name.strip() for name in first.cells]
    has_header = dialect.has_header(cohort)
    fits = bool(set(found) & set(needed_columns(cohort, keep))) if has_header else True
    if not fits or len(found) < len(names) or (not has_header and len(found) != len(names)):
        with path.open(encoding=codec, errors="replace", newline="") as text:
            head = text.read(HEAD)
        other = delimiter_fault(head, delimiter, cohort, keep, _IN_SITE_FILE, has_header=has_header)
        if other is not None:
            raise refusal(site, path.name, [other])
    begin: list[_Line] = []
    if has_header:
        names = found
        if not fits:
            below = ((line.number, [cell.strip() for cell in line.cells]) for line in lines_read)
            needed = needed_columns(cohort, keep)
            raise refusal(site, path.name, [no_header(first.number, below, needed, _NAMES_NEEDED)])
    else:
        check_declared(len(found), len(names), site, path.name)
        begin.append(first)
    growing = GrowingTable(
        names,
        cohort,
        site=site,
        keep=keep,
        file=path.name,
        respell=respelling_of(cohort, dialect),
    )
    places = list(growing.needed)
    width, odd = len(names), list[UnevenLine]()
    lines_read = itertools.chain(begin, lines_read)
    while piece := list(itertools.islice(lines_read, ROWS_AT_ONCE)):
        odd += [
            UnevenLine.of(line.number, line.cells) for line in piece if len(line.cells) != width
        ]
        rows = [line for line in piece if len(line.cells) == width] if odd else piece
        cells = [line.cells for line in rows]
        growing.add_text(
            [list(map(itemgetter(place), cells)) for place in places],
            np.array([line.number for line in rows], dtype=np.int64),
            np.array([line.whole for line in rows], dtype=np.int64),
        )
    return growing.table(uneven_lines(odd, width))


class _Line(NamedTuple):
    """A record: the number of its last line, from 1, its cells, and a number made of its text."""

    number: int
    cells: list[str]
    whole: int


def _records_of(text: Iterator[str], delimiter: str, site: str, file: str) -> Iterator[_Line]:
    """Yields every line that is not blank."""
    read: list[int] = []

    def noted() -> Iterator[str]:
        for line in text:
            read.append(hash(line.rstrip()))
            yield line

    reader = csv.reader(noted(), delimiter=delimiter, strict=True)
    begun = 1
    try:
        for cells in reader:
            if cells:
                yield _Line(reader.line_num, cells, read[0] if len(read) == 1 else hash((*read,)))
            read.clear()
            begun = reader.line_num + 1
    except csv.Error as error:
        raise refused(
            site,
            "open-quote",
            "not CSV (an open quote, or a cell too long)",
            "close the quote that opens here, or export with quotes doubled inside cells",
            file=file,
            lines=[begun],
        ) from error


def _line_of_fault(path: Path, codec: str) -> int:
    """Returns the line of the first bytes that are no text."""
    decoder = codecs.getincrementaldecoder(codec)()
    line = 1
    with path.open("rb") as file:
        try:
            while piece := file.read(_PIECE):
                line += decoder.decode(piece).count("\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += bytes(error.object[: error.start]).count(b"\n")
        except UnicodeError:
            pass  # UTF-16 without its mark: the first line
    return line


_NAMES_NEEDED = "the first line must hold their names, or the study must say header: false"
#: Where a hospital says how its own file is written.
_IN_SITE_FILE = (
    "{} in the contract, or under data in a hospital's site file (a simulation reads every file as "
    "the contract says: save this one so)"
)


def check_declared(found: int, declared: int, site: str, file: str) -> None:
    """Refuses a file without header whose columns are not those that the contract declares."""
    if found != declared:
        raise refused(
            site,
            "wrong-number-of-columns",
            f"the file has {found} columns, the contract declares {declared}",
            "a file without header needs every column declared, in order",
            file=file,
        )
