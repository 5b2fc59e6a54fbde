"""Excel workbooks, read by calamine: a table of the columns that a study needs.

Rules:

1. The first line that is not blank holds the columns' names, as in a CSV file; a line is a row of
   the sheet, counted as Excel counts it.
2. A cell is its value, of a formula the one that was computed when it was saved; never what is
   shown. An empty cell is missing.
3. What Excel makes of records unasked is found and named: dates of numbers, numbers of dates,
   errors, cells merged into one.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.faults import RecordFault, refusal, refused, unreadable
from pipelines.sources.tables.dialect import FileDialect, respelling_of
from pipelines.sources.tables.excel.contents import (
    Sheet,
    SheetContents,
    WorkbookFault,
    contents_of,
    sheets_of,
)
from pipelines.sources.tables.growing_table import ROWS_AT_ONCE, GrowingTable
from pipelines.sources.tables.table import SourceTable, needed_columns, no_header
from protocol.counted import counted
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

_NAMES_NEEDED = (
    "the first line must hold their names, or write header: false under data in a hospital's site "
    "file"
)
#: So many names of sheets are shown.
_SHOWN = 8


def read_excel(
    path: Path, cohort: TableCohort, *, site: str, keep: Sequence[str], dialect: FileDialect
) -> SourceTable:
    """Returns the needed columns of a sheet of an Excel workbook, and the faults found in it.

    Raises:
        CohortRefused: unreadable, too large, no such sheet, or its first line names no column.
    """
    try:
        import python_calamine
    except ModuleNotFoundError as error:
        raise CohortRefused(
            f"site {site}: {path.name}: an Excel workbook is read with python-calamine, not "
            "installed here: pip install 'collegium[silo]'"
        ) from error
    try:
        sheet = _chosen(sheets_of(path), dialect.sheet, site, path.name)
        contents = contents_of(path, sheet)
        try:
            # Of a path calamine would believe the ending.
            with path.open("rb") as file, python_calamine.load_workbook(file) as workbook:
                read = workbook.get_sheet_by_name(sheet.name)
                return _table(read, contents, path.name, cohort, site, keep, dialect)
        except BaseException as error:
            # A panic of calamine's is no Exception; and the words of either may hold a cell.
            is_panic = type(error).__name__ == "PanicException"
            if not is_panic and not isinstance(error, python_calamine.CalamineError):
                raise
        raise WorkbookFault("it is not as Excel writes one: open it in Excel and save it again")
    except WorkbookFault as fault:
        raise refused(
            site,
            "damaged-file",
            f"the file of records {path.name!r} cannot be read as an Excel workbook: {fault}",
            "",
        ) from fault
    except OSError as error:
        raise unreadable(site, path, error) from error


def _chosen(sheets: Sequence[Sheet], named: str | None, site: str, file: str) -> Sheet:
    visible = [sheet for sheet in sheets if sheet.visible]
    names = ", ".join(sheet.name for sheet in visible[:_SHOWN])
    if named is not None:
        found = next((sheet for sheet in sheets if sheet.name == named), None)
        if found is None:
            raise refused(
                site,
                "which-sheet",
                f"the workbook has no sheet {named!r}, but: {names}",
                "mend data.sheet in the site file",
                file=file,
            )
        return found
    if len(visible) != 1:
        raise refused(
            site,
            "which-sheet",
            f"the workbook has {counted(len(visible), 'sheet')} ({names})",
            "name the one of the records under data in a hospital's site file, sheet: NAME, or "
            "save it alone",
            file=file,
        )
    return visible[0]


def _table(
    sheet: "CalamineSheet",
    contents: SheetContents,
    file: str,
    cohort: TableCohort,
    site: str,
    keep: Sequence[str],
    dialect: FileDialect,
) -> SourceTable:
    left = sheet.start[1] if sheet.start is not None else 0
    rows = ((n, row) for n, row in enumerate(sheet.iter_rows(), start=1) if _has_content(row))
    first = next(rows, None)
    if first is None:
        raise refused(site, "empty-file", "the sheet is empty", "export it again", file=file)
    needed = set(needed_columns(cohort, keep))
    names = [column.name for column in cohort.columns]
    begin: list[tuple[int, list[object]]] = []
    if dialect.has_header(cohort):
        names = _names(first[1])
        if not set(names) & needed:
            below = ((number, _names(row)) for number, row in rows)
            raise refusal(site, file, [no_header(first[0], below, needed, _NAMES_NEEDED)])
    else:
        if len(first[1]) != len(names):
            raise CohortRefused(
                f"site {site}: {file}: the sheet has {len(first[1])} columns, the contract "
                f"declares {len(names)}; without header every column must be declared, in order; "
                "where the first line holds the names, write header: true under data in a "
                "hospital's site file"
            )
        begin.append((first[0], list(first[1])))
    growing = GrowingTable(
        names,
        cohort,
        site=site,
        keep=keep,
        file=file,
        typed=True,
        respell=respelling_of(cohort, dialect),
    )
    kinds = {place: _Kinds() for place in growing.needed}
    last = first[0]
    while piece := begin + [(n, list(row)) for n, row in islice(rows, ROWS_AT_ONCE)]:
        begin = []
        lines = np.array([number for number, _ in piece], dtype=np.int64)
        columns = list(zip(*(row for _, row in piece), strict=True))
        for place, found in kinds.items():
            found.note(columns[place], lines)
        growing.add([list(map(_plain, column)) for column in columns], lines)
        last = piece[-1][0]
    at = {place + left: name for place, name in growing.needed.items()}
    faults = [
        fault for place, name in growing.needed.items() for fault in kinds[place].faults(name)
    ]
    faults += _without_value(contents, at, first[0])
    faults += _merged(sheet.merged_cell_ranges or [], at, first[0], last)
    return growing.table(faults)


def _has_content(row: Sequence[object]) -> bool:
    return any(value != "" for value in row)


def _names(row: Sequence[object]) -> list[str]:
    """Returns the names that a header holds; those that are numbers as a CSV file has them."""
    return [
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
        for value in row
    ]


def _plain(value: object) -> object:
    """Returns a cell's value; of a length of time, its days."""
    return value / timedelta(days=1) if isinstance(value, timedelta) else value


class _Kinds:
    """The lines of a column in which a date stands, and those of a number."""

    def __init__(self) -> None:
        self._dates: list[NDArray[np.int64]] = []
        self._numbers: list[NDArray[np.int64]] = []

    def note(self, values: Sequence[object], lines: NDArray[np.int64]) -> None:
        """Takes the next cells."""
        kinds = set(map(type, values))
        for of_kind, held in (((datetime, date, time), self._dates), ((float, int), self._numbers)):
            if kinds & set(of_kind):
                held.append(lines[[type(value) in of_kind for value in values]])

    def faults(self, name: str) -> list[RecordFault]:
        """Returns what is wrong where dates and numbers stand in one column."""
        dates = np.concatenate(self._dates) if self._dates else _NO_LINES
        numbers = np.concatenate(self._numbers) if self._numbers else _NO_LINES
        if not len(dates) or not len(numbers):
            return []
        if len(numbers) <= len(dates):
            what = "a number among dates, as Excel stores a date"
            remedy = "format the whole column as a date, and write those cells again"
            return [_mixed(name, numbers.tolist(), what, remedy)]
        what = "a date among numbers: Excel makes one of 3.4 or 3/4"
        remedy = "format the whole column as a number, and write those cells again"
        return [_mixed(name, dates.tolist(), what, remedy)]


def _mixed(column: str, lines: list[int], what: str, remedy: str) -> RecordFault:
    return RecordFault(
        name="dates-among-numbers", column=column, lines=lines, what=what, remedy=remedy
    )


def _without_value(contents: SheetContents, at: dict[int, str], header: int) -> list[RecordFault]:
    """Returns the faults of cells that hold an error, or a formula without value."""
    found = []
    for places, what, remedy in (
        (contents.errors, "an error of Excel's, such as #DIV/0!", "mend the formula or the cell"),
        (
            contents.not_computed,
            "a formula that was never computed",
            "open the workbook in Excel and save it, which computes all of them",
        ),
    ):
        lines: dict[str, list[int]] = {}
        for row, column in places:
            if row >= header and column in at:
                lines.setdefault(at[column], []).append(row + 1)
        found += [
            RecordFault(name="excel-error", column=name, lines=of_column, what=what, remedy=remedy)
            for name, of_column in lines.items()
        ]
    return found


def _merged(
    ranges: Sequence[tuple[tuple[int, int], tuple[int, int]]],
    at: dict[int, str],
    header: int,
    last: int,
) -> list[RecordFault]:
    """Returns the faults of needed columns whose cells are merged with others."""
    lines: dict[str, set[int]] = {}
    for (top, left), (bottom, right) in ranges:
        for column in range(left, right + 1):
            if column in at:
                within = range(max(top + 1, header), min(bottom + 1, last) + 1)
                lines.setdefault(at[column], set()).update(within)
    return [
        RecordFault(
            name="merged-cells",
            column=name,
            lines=sorted(of_column),
            what="cells that are merged: all but the first are empty",
            remedy="unmerge them, and write the value into each",
        )
        for name, of_column in lines.items()
        if of_column
    ]


_NO_LINES: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
