"""Dates of clinical records: whole days on the hospital's clock, some known in part."""

import calendar
import re
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

_WRITTEN = re.compile(
    r"(?P<year>[0-9]{4})(-(?P<month>[0-9]{2})(-(?P<day>[0-9]{2})"
    r"([T ](?P<time>[0-9]{2}:[0-9]{2}(:[0-9]{2})?)(\.[0-9]+)?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)


class When(NamedTuple):
    """A time that a record tells.

    ``first`` and ``last`` are the days, counted as ``date.toordinal``, between which it lies; equal
    where the day is known. ``second`` is that of the day, 0 where no time is told.
    """

    first: int
    last: int
    second: int = 0

    @property
    def is_day(self) -> bool:
        """Whether the day is known."""
        return self.first == self.last


@lru_cache(maxsize=1 << 16)
def read_when(text: str, zone: ZoneInfo | None = None) -> When | None:
    """Returns the time that a text tells, or None where it tells none.

    Args:
        text: an ISO date, its month or its year; a time may follow the day, and a zone the time.
        zone: of the hospital's clock. A time with a zone is moved there; without it the day and the
            time count as they are written.

    >>> read_when("2024-02") == When(date(2024, 2, 1).toordinal(), date(2024, 2, 29).toordinal())
    True
    >>> read_when("2024-02-30") is None, read_when("May") is None
    (True, True)
    >>> berlin = read_when("2024-01-31T23:30:00Z", ZoneInfo("Europe/Berlin"))
    >>> date.fromordinal(berlin.first).isoformat(), berlin.second
    ('2024-02-01', 1800)
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day = (int(found[part] or 0) for part in ("year", "month", "day"))
    try:
        if not found["month"]:
            return When(date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal())
        if not found["day"]:
            length = calendar.monthrange(year, month)[1]
            return When(date(year, month, 1).toordinal(), date(year, month, length).toordinal())
        if not found["time"]:
            same = date(year, month, day).toordinal()
            return When(same, same)
        moment = datetime.fromisoformat(f"{year:04}-{month:02}-{day:02}T{found['time']}")
        if zone is not None and found["zone"]:
            written = found["zone"].replace("Z", "+00:00")
            moment = datetime.fromisoformat(f"{moment.isoformat()}{written}").astimezone(zone)
    except (ValueError, OverflowError):
        return None
    second = moment.hour * 3600 + moment.minute * 60 + moment.second
    return When(moment.toordinal(), moment.toordinal(), second)


def assumed_birth(born: When) -> int:
    """Returns the day on which a person counts as born: the first of a month, the 15th of June.

    Source: OMOP CDM 5.4, ``person.birth_datetime``, on births of which the month or the year is
    known (without its first rule, which looks at the person's records).

    >>> date.fromordinal(assumed_birth(read_when("1950"))).isoformat()
    '1950-06-15'
    """
    if born.last - born.first > 31:
        return date.fromordinal(born.first).replace(month=6, day=15).toordinal()
    return born.first


def whole_years(born: int, day: int) -> int:
    """Returns a person's age at a day, from 0.

    >>> whole_years(date(2000, 2, 29).toordinal(), date(2018, 2, 28).toordinal())
    17
    """
    birth, then = date.fromordinal(born), date.fromordinal(day)
    before = (then.month, then.day) < (birth.month, birth.day)
    return max(0, then.year - birth.year - before)
