"""Every row of the consortium's database is one that was logged.

Rules:

1. Every write of a row is an entry of the log that holds the digest of all that
   the row then says (``store.LoggedRow``). A row counts its own writes.
2. So each row must be in the log as it is, and all rows together must have been
   written as often as the log says: a changed, added or removed row is found,
   and so is one that was put back to what it said before.

3. Only tables of the database are read, no views.

A new table or column is covered without a line here: the digest is over all
columns, and the tables are those that exist.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

# The rows of these tables are held to the log as well.
import coordinator.database.alert_tables
import coordinator.database.log.cosignatures
import coordinator.governance.accounts.tables
import coordinator.governance.models.tables
import coordinator.governance.tables
import coordinator.membership.tables  # noqa: F401
from compliance.storage.engines.revisions import VERSIONS
from coordinator.audit.faults import Faults
from coordinator.database.store import (
    CoordinatorTable,
    LogEntryRow,
    LoggedRow,
    logged_tables,
)
from protocol.log.entry import LogEntry


def held_tables() -> tuple[type[LoggedRow], ...]:
    """Returns every table whose rows are held to the log."""
    return logged_tables()


def check_rows(session: Session, entries: Sequence[LogEntry], faults: Faults) -> None:
    """Checks every row of every table against the whole log."""
    known = {entry.record for entry in entries if entry.record is not None}
    logged = Counter(entry.run for entry in entries if entry.record is not None)
    written: Counter[str | None] = Counter()
    for table in held_tables():
        with faults.checking(f"the table {table.__tablename__}"):
            for row in session.scalars(select(table)):
                written[_run_of(row)] += _check_row(row, known, faults)
    for run in sorted(logged.keys() | written.keys(), key=str):
        if logged[run] != written[run]:
            about = "outside the runs" if run is None else "of the run"
            faults.add(
                f"{about} the log knows {logged[run]} writes of rows, the rows say "
                f"{written[run]}: one was removed, added or put back to what it said before",
                run=run,
            )


def check_tables(session: Session, faults: Faults) -> None:
    """Checks that what is read are tables, and those of this software only.

    A view may look like a table, and show something else tomorrow.
    """
    found = inspect(session.connection())
    known = {*CoordinatorTable.metadata.tables, VERSIONS}
    for name in sorted({*found.get_view_names(), *(set(found.get_table_names()) - known)}):
        faults.add(f"the database has a view or table that this software never made: {name}")


def check_entry_runs(session: Session, entries: Iterable[LogEntry], faults: Faults) -> None:
    """Checks that each stored entry stands under the run that it is about."""
    about = {entry.seq: entry.run for entry in entries}
    for index, run in session.execute(select(LogEntryRow.idx, LogEntryRow.run_id)):
        if index in about and about[index] != run:
            faults.add(f"audit entry {index} stands under another run", run=about[index])


def _check_row(row: LoggedRow, known: set[str], faults: Faults) -> int:
    """Returns how often a row says that it was written."""
    place = row.place
    with faults.checking(f"its {row.__tablename__} record", **place):
        if row.record not in known:
            faults.add(f"its {row.__tablename__} record is not what was logged", **place)
    return row.revision if isinstance(row.revision, int) else 0


def _run_of(row: LoggedRow) -> str | None:
    return row.place.get("run")
