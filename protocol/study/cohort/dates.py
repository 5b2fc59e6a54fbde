"""Dates: how cells write them, and the window of time that a cohort's records lie in.

Rules:

1. A date is a day of the Gregorian calendar, as it is written: no cell is moved by a time zone.
2. Both ends of a window belong to it.
"""

import datetime
import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from protocol.study.frozen_model import FrozenModel

#: The format of ISO 8601, which is read in every column of dates.
ISO_FORMAT = "YYYY-MM-DD"
#: Days counted as spreadsheets count them: 1 is the first of January 1900.
EXCEL_FORMAT = "excel"
#: Years before and after these are codes or slips of the pen.
FIRST_YEAR, LAST_YEAR = 1850, 2199

_FORMAT = re.compile(
    r"(?:DD(?P<a>[-./ ]?)MM(?P=a)|MM(?P<b>[-./ ]?)DD(?P=b))YYYY|YYYY(?P<c>[-./ ]?)MM(?P=c)DD"
)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _is_format(text: str) -> str:
    if text != EXCEL_FORMAT and not _FORMAT.fullmatch(text):
        raise ValueError(
            "must be YYYY, MM and DD with one of - . / a blank or nothing between them, the day or "
            "the month first or the year (DD.MM.YYYY, MM/DD/YYYY, YYYYMMDD); or excel"
        )
    return text


#: How a column's cells write a date.
DateFormat: TypeAlias = Annotated[str, AfterValidator(_is_format)]


def _iso_text(value: object) -> object:
    """Returns a day's text; numbers, which pydantic would count from 1970, are left as no date."""
    if isinstance(value, datetime.date) or (isinstance(value, str) and _ISO.fullmatch(value)):
        return value
    raise ValueError('must be a day such as "2019-01-01", in quotes')


#: A day that a study names.
Day: TypeAlias = Annotated[datetime.date, BeforeValidator(_iso_text)]


def day_named(text: str) -> datetime.date | None:
    """Returns the day that a text names; None where it is the name of a column.

    Raises:
        ValueError: it looks like a day, and there is none such.

    >>> day_named("2020-02-29"), day_named("admission")
    (datetime.date(2020, 2, 29), None)
    """
    return datetime.date.fromisoformat(text) if _ISO.fullmatch(text) else None


def _is_day_or_column(text: str) -> str:
    day_named(text)
    return text


#: A column of dates, or one day for all records, such as ``"2023-12-31"``.
DayOrColumn: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_is_day_or_column)]

#: What becomes of a date of which only the year, or the month, is known.
PartialDates: TypeAlias = Literal["refuse", "first", "middle", "last"]


class TimeWindow(FrozenModel):
    """A window of time: records whose ``column`` is a day outside it are left out, and counted.

    ``since`` and ``until`` are its first and last day. With ``max_age_days`` a record also lies at
    most so many days before the day in the column ``before``, or on it, and not after it.
    """

    column: str = Field(min_length=1)
    since: Day | None = None
    until: Day | None = None
    before: str | None = Field(default=None, min_length=1)
    max_age_days: int | None = Field(default=None, ge=0, le=100_000)

    @model_validator(mode="after")
    def _consistent(self) -> "TimeWindow":
        if self.since is None and self.until is None and self.before is None:
            raise ValueError("a window needs since, until, or before and max_age_days")
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("since must not be later than until")
        if (self.before is None) != (self.max_age_days is None):
            raise ValueError("before and max_age_days go together")
        if self.before == self.column:
            raise ValueError("before is another column")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        return (self.column,) if self.before is None else (self.column, self.before)
