"""Choices that the searches of the audit share: a person, and the days."""

from datetime import UTC, date, datetime, timedelta

from coordinator.views.governance import GovernanceView
from protocol.identity.timestamps import write_time


def names_in(seen: GovernanceView) -> list[str]:
    """Returns the names of all people, former ones too."""
    return sorted({one.name for one in (*seen.people, *seen.former)})


def midnight(day: object, days: int = 0) -> str | None:
    """Returns the beginning of a day (UTC), so many days later; None where none was chosen.

    >>> midnight(date(2026, 11, 29), 1)
    '2026-11-30T00:00:00.000Z'
    """
    if not isinstance(day, date):
        return None
    return write_time(datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=days))
