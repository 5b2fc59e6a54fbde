"""Cells of dates: text in, the number of a day out, or a fault.

Rules:

1. A cell is read by the format that the contract, or this hospital, names, and by ISO 8601, which
   no other order of day, month and year is written like. No order is guessed.
2. Where a date cannot be one in the column's format, a format in which it is one is named.
3. A time of day is cut off, and a time zone with it: the day is the one that is written. Midnight
   without a zone is how many programs write a day, and is not counted as a time.
"""

import datetime
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipelines.sources.column_cells import CellProblem
from protocol.study.cohort.columns import DateColumn
from protocol.study.cohort.dates import EXCEL_FORMAT, FIRST_YEAR, ISO_FORMAT, LAST_YEAR
from protocol.study.cohort.vocabulary import NUMERAL

_TIME = re.compile(
    r"(?:[T ]\s*[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?[AaPp]\.?[Mm]\.?)?"
    r"(?: ?(?:Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?))?)$"
)
_MIDNIGHT = re.compile(r"[T ]00:00(:00([.,]0+)?)?$")
_PART = re.compile("YYYY|MM|DD")
#: Day 0 of a spreadsheet's count, from March 1900 on: it counts a 29 February 1900.
_EXCEL_ZERO = datetime.date(1899, 12, 30).toordinal()
#: The first number that counts as other programs count: 1 March 1900.
_EXCEL_FIRST = 61
#: A spreadsheet's number of a day from 1927 to 2173, with its time.
_EXCEL_LIKE = re.compile(r"[1-9][0-9]{4}(\.[0-9]+)?")
#: Formats that are named where a cell is not of the column's.
_COMMON = (ISO_FORMAT, "DD.MM.YYYY", "DD/MM/YYYY", "MM/DD/YYYY", "DD-MM-YYYY", "YYYYMMDD")
_MIDDLE_OF_MONTH, _MIDDLE_OF_YEAR = 15, (7, 1)


@dataclass(frozen=True, kw_only=True)
class ReadDate:
    """A day, by its proleptic Gregorian ordinal; whether a time was cut off, or a day supplied."""

    day: int
    is_cut: bool = False
    is_completed: bool = False


class DateCells:
    """The reading of one column's cells.

    Args:
        column: its contract.
        written: the format in which this hospital writes it; None where it is the contract's.
    """

    def __init__(self, column: DateColumn, written: str | None = None) -> None:
        self._column = column
        self._format = written or column.format
        formats = dict.fromkeys([self._format, ISO_FORMAT])
        self._patterns = [_pattern(each) for each in formats if each != EXCEL_FORMAT]
        self._partial = [p for each in formats for p in _partial_patterns(each)]
        self._known: dict[str, ReadDate | CellProblem] = {}

    def read(self, cell: str) -> ReadDate | CellProblem:
        """Returns the day that a cell means."""
        if cell not in self._known:
            self._known[cell] = self._read(cell)
        return self._known[cell]

    @property
    def swapped(self) -> CellProblem:
        """The problem of a cell with a day above 12 in the month's place."""
        other = self._format.replace("DD", "?").replace("MM", "DD").replace("?", "MM")
        where = f"write dates: {{{self._column.name}: {other}}} under data in the site file"
        year_first = self._format.startswith("Y") or self._format == EXCEL_FORMAT
        return CellProblem(
            name="date-in-another-order",
            what=f"a day above 12 in the month's place of {self._format}",
            remedy="mend the cell"
            if year_first
            else f"{where} if all are written so, or mend the cell",
        )

    def missing_among(self, found: Collection[str], codes: Collection[str]) -> frozenset[str]:
        """Returns the spellings that mean missing: the codes, also where they are days.

        >>> column = DateColumn(name="seen", kind="date", missing=("9999-12-31",))
        >>> sorted(DateCells(column, "DD.MM.YYYY").missing_among({"31.12.9999", "NA"}, {"NA"}))
        ['31.12.9999', 'NA']
        """
        own = self._column.missing_codes
        days = {parts for code in own if (parts := _parts(_ISO, code)) is not None}
        same = {cell for cell in found if cell in codes or cell in own}
        if days:
            same |= {
                cell
                for cell in found
                if any(_parts(p, _TIME.sub("", cell)) in days for p in self._patterns)
            }
        return frozenset(same)

    def _read(self, cell: str) -> ReadDate | CellProblem:
        if self._format == EXCEL_FORMAT and NUMERAL.fullmatch(cell):
            return _excel(float(cell))
        text = _TIME.sub("", cell)
        cut = text != cell and not _MIDNIGHT.search(cell)  # which says nothing of the time
        for pattern in self._patterns:
            parts = _parts(pattern, text)
            if parts is not None:
                return self._day(*parts, cut=cut)
        for pattern in self._partial:
            parts = _parts(pattern, text)
            if parts is not None:
                return self._completed(*parts)
        return self._unread(text)

    def _day(self, year: int, month: int, day: int, *, cut: bool) -> ReadDate | CellProblem:
        if month == 0 or day == 0:
            return self._completed(year, month, day) if year else _IMPOSSIBLE
        try:
            found = datetime.date(year, month, day)
        except ValueError:
            is_swapped = 12 < month <= 31 and 0 < day <= 12
            return self.swapped if is_swapped else _IMPOSSIBLE
        if not FIRST_YEAR <= year <= LAST_YEAR:
            return _FAR_AWAY
        return ReadDate(day=found.toordinal(), is_cut=cut)

    def _completed(self, year: int, month: int, day: int = 0) -> ReadDate | CellProblem:
        how = self._column.partial
        if how == "refuse":
            return _PARTIAL
        if not FIRST_YEAR <= year <= LAST_YEAR:
            return _FAR_AWAY
        if month > 12 or (month == 0 and day):
            return _IMPOSSIBLE
        known = month > 0
        if how == "middle":
            month, day = (month, _MIDDLE_OF_MONTH) if known else _MIDDLE_OF_YEAR
        else:
            month, day = month or (1 if how == "first" else 12), 1
        found = datetime.date(year, month, day).toordinal()
        if how == "last":
            following = (year, month + 1) if month < 12 else (year + 1, 1)
            found = datetime.date(*following, 1).toordinal() - 1
        return ReadDate(day=found, is_completed=True)

    def _unread(self, text: str) -> CellProblem:
        others = _forms_of(text)
        if others:
            return self._written_as(others)
        formats = " or ".join(dict.fromkeys([self._format, ISO_FORMAT]))
        return CellProblem(
            name="no-date",
            what=f"no date as {formats}",
            remedy="mend the cell, or say how the column is written: dates: "
            f"{{{self._column.name}: DD.MM.YYYY}} under data in the site file",
        )

    def _written_as(self, forms: Sequence[str]) -> CellProblem:
        return CellProblem(
            name="date-in-another-order",
            what=f"a date written as {' or '.join(forms)}, not as {self._format}",
            remedy=f"write dates: {{{self._column.name}: {forms[0]}}} under data in the site "
            "file where the whole column is written so, or mend the cell",
        )

    def in_other_forms(self, found: Collection[str]) -> CellProblem | None:
        """Returns the one problem of all cells in other forms than the column's; None without any.

        Args:
            found: the spellings, but for those that mean missing.
        """
        texts = {cell: _TIME.sub("", cell) for cell in found}
        forms = {
            _forms_of(text)
            for cell, text in texts.items()
            if isinstance(read := self.read(cell), CellProblem)
            and read.name == "date-in-another-order"
            and read != self.swapped
        }
        if not forms:
            return None
        fitting = {texts[cell] for cell in found if isinstance(self.read(cell), ReadDate)}
        in_iso = {text for text in fitting if _ISO.fullmatch(text)}
        named = [self._format] if fitting - in_iso else []
        common = [each for each in (*_COMMON, EXCEL_FORMAT) if all(each in some for some in forms)]
        if common and not named:  # ISO 8601 is read beside any format
            return self._written_as(common)
        named += [ISO_FORMAT] if in_iso else []
        for some in sorted(forms, key=lambda each: (len(each), each)):
            if not {*some} & {*named}:
                named.append(" or ".join(some))
        return CellProblem(
            name="several-date-forms",
            what=f"dates in several forms: {', '.join(named[:-1])} and {named[-1]}",
            remedy=f"export the column in one form, best {ISO_FORMAT}, or mend these cells",
        )

    def two_orders(self, found: Collection[str]) -> CellProblem | None:
        """Returns the problem of a column whose dates are in two orders; None where they are not.

        Some have a day above 12 in the month's place, and some in the day's.
        """
        texts = [_TIME.sub("", cell) for cell in found]
        parts = [p for text in texts if (p := _parts(self._patterns[0], text)) is not None]
        if not any(month > 12 for _, month, _ in parts) or not any(d > 12 for _, _, d in parts):
            return None
        return CellProblem(
            name="two-date-orders",
            what=f"dates in two orders: a day above 12 in the month's place of {self._format}, and "
            "in other cells in the day's",
            remedy=f"export the column anew in one order, best {ISO_FORMAT}",
        )


_IMPOSSIBLE = CellProblem(
    name="impossible-date", what="a day that no calendar has", remedy="mend the cell"
)
_FAR_AWAY = CellProblem(
    name="date-far-away",
    what=f"a year before {FIRST_YEAR} or after {LAST_YEAR}",
    remedy="mend the cell; if it is a code for missing, in the study write missing: [DATE] for the "
    "column",
)
_PARTIAL = CellProblem(
    name="partial-date",
    what="a date without its day or its month",
    remedy="fill it, or in the study write partial: first, middle or last for the column",
)


def _excel(number: float) -> ReadDate | CellProblem:
    day = int(number)
    if not _EXCEL_FIRST <= day <= datetime.date(LAST_YEAR, 12, 31).toordinal() - _EXCEL_ZERO:
        return _FAR_AWAY
    return ReadDate(day=_EXCEL_ZERO + day, is_cut=number != day)


def _pattern(written: str) -> re.Pattern[str]:
    """Returns what reads a format; between marks a day or month may have one digit."""
    marked = len(written) > len("YYYYMMDD")
    forms = {"YYYY": r"(?P<Y>[0-9]{4})"}
    forms |= {p: rf"(?P<{p[0]}>[0-9]{{{'1,2' if marked else '2'}}})" for p in ("MM", "DD")}
    return re.compile("".join(
        forms[piece] if piece in forms else re.escape(piece)
        for piece in re.split("(YYYY|MM|DD)", written)
    ))  # fmt: skip


def _partial_patterns(written: str) -> list[re.Pattern[str]]:
    """Returns what reads a year, and a year with its month, as a format would write them."""
    if written == EXCEL_FORMAT:
        return []
    mark = _PART.sub("", written)[:1]
    month = rf"(?P<M>[0-9]{{{'1,2' if mark else '2'}}})"
    year, between = "(?P<Y>[0-9]{4})", re.escape(mark)
    with_month = f"{year}{between}{month}" if written.startswith("Y") else f"{month}{between}{year}"
    return [re.compile(year), re.compile(with_month)]


def _parts(pattern: re.Pattern[str], text: str) -> tuple[int, int, int] | None:
    """Returns year, month and day as they are written, 0 where the pattern has none."""
    found = pattern.fullmatch(text)
    if found is None:
        return None
    named = found.groupdict()
    return int(named["Y"]), int(named.get("M") or 0), int(named.get("D") or 0)


def _forms_of(text: str) -> tuple[str, ...]:
    """Returns the common formats in which a text is a day."""
    if _EXCEL_LIKE.fullmatch(text):
        return (EXCEL_FORMAT,)
    return tuple(each for each in _COMMON if _is_day(each, text))


def _is_day(written: str, text: str) -> bool:
    parts = _parts(_pattern(written), text)
    try:
        return parts is not None and datetime.date(*parts) is not None
    except ValueError:
        return False


_ISO = _pattern(ISO_FORMAT)
