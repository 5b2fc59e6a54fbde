"""Times in documents: UTC to the millisecond, as text of which the later is the greater."""

import re
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from protocol.codec import text
from protocol.errors import PolicyRefused

#: A time as ``write_time`` writes it.
TIME = text(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
Time: TypeAlias = Annotated[str, TIME]
#: Beyond any time that a clock shows: what holds only while a simulation runs needs no end.
NEVER = "9999-12-31T23:59:59.999Z"
#: A day as people type it; other spellings of ISO 8601, such as weeks, are no order of text.
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def write_time(time_point: datetime) -> str:
    """Returns a time in UTC to the millisecond, so that later times are later text.

    >>> write_time(datetime(2000, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2000-01-02T03:04:05.000Z'
    """
    utc = time_point.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(written: str) -> datetime:
    """Returns the time in a text; the inverse of ``write_time``.

    >>> read_time('2000-01-02T03:04:05.000Z')
    datetime.datetime(2000, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)

    Raises:
        ValueError: it is no time.
    """
    return datetime.fromisoformat(written)


def span_of(at: str, option: str = "--at") -> tuple[str, str]:
    """Returns the first and the last moment of a day that people type; of a time that moment twice.

    >>> span_of("2026-03-03")
    ('2026-03-03T00:00:00.000Z', '2026-03-03T23:59:59.999Z')
    >>> span_of("2026-03-03T12:00")
    ('2026-03-03T12:00:00.000Z', '2026-03-03T12:00:00.000Z')

    Raises:
        PolicyRefused: it is neither.
    """
    try:
        if _DAY.match(at) is None:
            raise ValueError("no day begins it")
        if _DAY.fullmatch(at):
            datetime.fromisoformat(at)
            return f"{at}T00:00:00.000Z", f"{at}T23:59:59.999Z"
        read = datetime.fromisoformat(at.replace("Z", "+00:00"))
        moment = write_time(read if read.tzinfo else datetime.fromisoformat(f"{at}+00:00"))
    except (ValueError, OverflowError) as error:
        raise PolicyRefused(f"{option} {at}: a day or a time, such as 2026-03-03") from error
    return moment, moment
