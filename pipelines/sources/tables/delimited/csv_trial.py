"""Trials of a CSV file's beginning: which delimiter, decimal mark and encoding would fit.

Rules:

1. Nothing is guessed for a run: a trial only gives the line that a hospital may write into its
   site file.
2. What is said holds names, marks and counts; never the content of a cell.
"""

import codecs
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.faults import RecordFault
from pipelines.sources.tables.file_kinds import file_kind
from pipelines.sources.tables.table import needed_columns
from protocol.study.cohort.cohort import Decimal, TableCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.vocabulary import NUMERAL

#: So much of a file is tried.
HEAD = 1 << 16
_DELIMITERS = (",", ";", "\t", "|")
_NAMES = {",": "','", ";": "';'", "\t": "'\\t'", "|": "'|'"}
#: So many bytes are read at once.
_PIECE = 1 << 22
#: So many lines are looked at for the decimal mark.
_LINES = 200


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A file's beginning read with one delimiter.

    ``fitting`` is how many of the study's columns are there: named in the header, or of a file
    without header all of them if it has as many columns as are declared, else none.
    """

    delimiter: str
    fitting: int
    needed: int
    decimal: Decimal

    @property
    def fits(self) -> bool:
        """Whether every column that the study needs is there."""
        return self.fitting == self.needed


def trial(
    head: str, delimiter: str, cohort: TableCohort, keep: Sequence[str], *, has_header: bool
) -> Trial:
    """Returns what of a study's columns the beginning of a file shows with one delimiter."""
    lines = head.splitlines()[: _LINES + 1]
    reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter)
    try:
        rows = [[cell.strip() for cell in row] for row in reader if row]
    except csv.Error:
        rows = []
    needed = needed_columns(cohort, keep)
    declared = [column.name for column in cohort.columns]
    if has_header:
        names, rows = (rows[0], rows[1:]) if rows else ([], [])
        fitting = len(set(needed) & set(names))
    else:
        names = declared
        fitting = len(needed) if rows and len(rows[0]) == len(declared) else 0
    numbers = {c.name for c in cohort.features if isinstance(c, NumberColumn)}
    places = [place for place, name in enumerate(names) if name in numbers]
    cells = [row[place] for row in rows if len(row) == len(names) for place in places]
    commas = sum("," in c and bool(NUMERAL.fullmatch(c.replace(",", "."))) for c in cells)
    points = sum("." in c and bool(NUMERAL.fullmatch(c)) for c in cells)
    return Trial(
        delimiter=delimiter,
        fitting=fitting,
        needed=len(needed),
        decimal="," if commas > points else ".",
    )


def delimiter_fault(
    head: str,
    declared: str,
    cohort: TableCohort,
    keep: Sequence[str],
    where: str,
    *,
    has_header: bool,
) -> RecordFault | None:
    """Returns the fault of a file whose cells are separated by another mark than is declared.

    Args:
        head: the beginning of the file's text.
        declared: the delimiter that does not fit.
        cohort: the contract.
        keep: columns that split or partition need.
        has_header: whether the first line holds the columns' names.
        where: says where a hospital writes it, with ``{}`` for what.

    Returns:
        None where no other delimiter shows more of the study's columns.
    """
    tried = {
        mark: trial(head, mark, cohort, keep, has_header=has_header)
        for mark in {declared: 0, **_ORDER}
    }
    best = max(tried.values(), key=lambda one: (one.fitting, one.delimiter == declared))
    if best.fitting <= tried[declared].fitting:
        return None
    write = f"delimiter: {json.dumps(best.delimiter)}"
    if best.decimal != cohort.decimal:
        write += f", decimal: {json.dumps(best.decimal)}"
    found = ", ".join(
        f"{_NAMES.get(mark, repr(mark))} shows {one.fitting}" for mark, one in tried.items()
    )
    return RecordFault(
        name="semicolon" if best.delimiter == ";" else "other-delimiter",
        what=f"the columns seem to be separated by {best.delimiter!r}, expected {declared!r}",
        remedy=f"write {where.format(write)}; tried on the file's beginning: of {best.needed} "
        f"columns that the study needs {found}",
    )


_ORDER = dict.fromkeys(_DELIMITERS, 0)


def byte_faults(path: Path, encoding: str) -> list[RecordFault]:
    """Returns what a text file's bytes show: zero bytes, line ends of two kinds, another encoding.

    Nothing is said of a file that is no text. ``encoding`` is the one that it is read by.

    Raises:
        OSError: it cannot be read.
    """
    found = []
    zeros = ends = with_return = first = 0
    wide = encoding == "latin-1"
    decoder, letters = codecs.getincrementaldecoder("utf-8")(), 0
    with path.open("rb") as file:
        before = b""
        while piece := file.read(_PIECE):
            if not before and file_kind(piece) is not None:
                return []
            if not zeros and b"\0" in piece:
                first = ends + piece.count(b"\n", 0, piece.index(b"\0")) + 1
            zeros += piece.count(b"\0")
            ends += piece.count(b"\n")
            with_return += piece.count(b"\r\n") + (before == b"\r" and piece[:1] == b"\n")
            before = piece[-1:]
            if wide:
                try:
                    letters += len(piece) - len(decoder.decode(piece))
                except UnicodeDecodeError:
                    wide = False
    if wide and letters:
        found.append(
            RecordFault(
                name="utf-8-as-latin-1",
                what="the file is UTF-8 text, and is read as latin-1: letters beyond ASCII become "
                "two others each",
                remedy="write encoding: utf-8 in the contract, or under data in a hospital's site "
                "file",
            )
        )
    if zeros:
        found.append(
            RecordFault(
                name="nul-bytes",
                lines=[first],
                what=f"{zeros} zero bytes in the text from here on",
                remedy="export the file again",
            )
        )
    if 0 < with_return < ends:
        found.append(
            RecordFault(
                name="mixed-line-ends",
                what=f"{with_return} lines end in CR LF and {ends - with_return} in LF",
                remedy="was the file joined from two exports, or edited? Export it in one",
            )
        )
    return found
