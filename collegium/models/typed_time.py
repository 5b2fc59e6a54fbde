"""Times as people type them after ``--at``: a day, or a time in UTC."""

from datetime import datetime

from protocol.errors import PolicyRefused
from protocol.identity.timestamps import write_time

_DAY = len("2026-03-03")


def span_of(at: str, option: str = "--at") -> tuple[str, str]:
    """Returns the first and the last moment of a day; of a time that moment twice.

    >>> span_of("2026-03-03")
    ('2026-03-03T00:00:00.000Z', '2026-03-03T23:59:59.999Z')
    >>> span_of("2026-03-03T12:00")
    ('2026-03-03T12:00:00.000Z', '2026-03-03T12:00:00.000Z')

    Raises:
        PolicyRefused: it is neither.
    """
    try:
        if len(at) == _DAY:
            datetime.fromisoformat(at)
            return f"{at}T00:00:00.000Z", f"{at}T23:59:59.999Z"
        read = datetime.fromisoformat(at.replace("Z", "+00:00"))
        moment = write_time(read if read.tzinfo else datetime.fromisoformat(f"{at}+00:00"))
    except ValueError as error:
        raise PolicyRefused(f"{option} {at}: a day or a time, such as 2026-03-03") from error
    return moment, moment
