"""The one clock, and how times are written."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

from protocol.identity.timestamps import write_time

#: Says what time it is, in UTC.
Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """Returns the time in UTC."""
    return datetime.now(UTC)


def timestamp() -> str:
    """Returns the time in UTC to the millisecond, as databases and documents keep it."""
    return write_time(utc_now())


def told_time(seconds: float) -> str:
    """Returns a time of ``time.time`` in UTC, to the second, as people are told it.

    >>> told_time(946782245.6)
    '2000-01-02T03:04:05Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
