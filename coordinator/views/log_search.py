"""Searches the log: newest entries first, a page at a time, however long the log is.

Words are looked for in an entry's own bytes, by the database, over so many entries at most; how far
was looked is said, and the next page goes on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.orm import Session

from compliance.facts.dossier import EntryFacts
from coordinator.database.store import LogEntryRow, logged_entry, newest_head
from coordinator.views.one_run.dossiers import entry_facts

#: So many entries are looked through for words at once: a tenth of a second.
MOST_SEARCHED = 200_000
#: So many words are looked for at most.
_MOST_WORDS = 8


@dataclass(frozen=True, kw_only=True)
class LogPage:
    """A page of the log, newest entries first.

    Attributes:
        entries: those found.
        size: of the whole log.
        next: the number below which the next page begins; None where the log's beginning was
            reached.
        searched: how many entries were looked at for this page.
    """

    entries: tuple[EntryFacts, ...]
    size: int
    next: int | None
    searched: int


def log_page(
    session: Session,
    *,
    words: str = "",
    run: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> LogPage:
    """Returns a page of the log.

    Args:
        session: the consortium's database.
        words: only entries of which the text holds each; a type, a run, a digest, a date. Small and
            capital letters are different.
        run: only entries of this run.
        before: only entries with a smaller number; from the newest on when None.
        limit: so many at most.

    Raises:
        StoreBroken: an entry holds no bytes, or is none.
    """
    head = newest_head(session)
    size = 0 if head is None else head.size
    end = size if before is None else min(before, size)
    wanted = words.split()[:_MOST_WORDS]
    begin = max(0, end - MOST_SEARCHED) if wanted and run is None else 0
    query = select(LogEntryRow).where(LogEntryRow.idx < end, LogEntryRow.idx >= begin)
    if run is not None:
        query = query.where(LogEntryRow.run_id == run)
    for condition in _conditions(session, wanted):
        query = query.where(condition)
    rows = session.scalars(query.order_by(LogEntryRow.idx.desc()).limit(limit)).all()
    last = rows[-1].idx if len(rows) == limit else begin
    return LogPage(
        entries=tuple(entry_facts(logged_entry(row)) for row in rows),
        size=size,
        next=last or None,
        searched=end - last,
    )


def _conditions(session: Session, words: Sequence[str]) -> list[ColumnElement[bool]]:
    """Returns what each word asks of an entry's bytes, in the database's own words."""
    if session.get_bind().dialect.name == "sqlite":
        return [func.instr(LogEntryRow.entry, word.encode()) > 0 for word in words]
    entry = LogEntryRow.entry
    return [func.position(literal(word.encode()).op("IN")(entry)) > 0 for word in words]
