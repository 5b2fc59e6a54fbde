"""Entries of the log about accounts: each with its row; of what comes often, one an hour."""

from dataclasses import replace

from compliance.audit.log import NewEntry
from compliance.governance.access.lock_out import FailedLogins
from coordinator.database.store import LoggedRow, Transaction

#: Seconds between two entries about refused logins of one account, or logins by one link.
LOGGED_EVERY = 3600.0


def row_entry(transaction: Transaction, kind: str, row: LoggedRow) -> NewEntry:
    """Writes a row; returns the entry that names its record."""
    record = transaction.write(row)
    return NewEntry(type=kind, run_id=None, payload=record, record=record)


def counted_for_log(before: FailedLogins, now: float) -> tuple[FailedLogins, int]:
    """Counts one more; returns the counts after it, and how many are to be logged now.

    Args:
        before: the counts of an account or a link.
        now: seconds since 1970.

    >>> counted_for_log(FailedLogins(unlogged=2, logged=5000.0), 6000.0)[1]
    0
    >>> counted_for_log(FailedLogins(unlogged=2, logged=5000.0), 9000.0)[1]
    3
    """
    number = before.unlogged + 1
    if abs(now - before.logged) >= LOGGED_EVERY:
        return replace(before, unlogged=0, logged=now), number
    return replace(before, unlogged=number), 0
