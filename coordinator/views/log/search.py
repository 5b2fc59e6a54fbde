"""Search over the whole log: the newest entries first, so many at a time.

An entry holds digests, so what is searched in is its number, time, type (as it is and in words),
run and digests; and whose act it is, from the acts' rows. A search looks at ``MOST`` entries at
most and says how far it came; the next one goes on from there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, false, or_, select
from sqlalchemy.orm import Session

from compliance.audit.log import LoggedEntry
from compliance.facts.dossier import EntryFacts
from compliance.reports.evidence import entry_words
from coordinator.database.store import LogEntryRow, RunRow, logged_entry, newest_head
from coordinator.governance.tables import ActRow
from protocol.errors import StoreBroken
from protocol.identity.timestamps import read_time, write_time
from protocol.log.entry import LogEntry

#: So many entries are looked at in one search.
MOST = 100_000
#: So many are read at once.
_CHUNK = 5_000
_TYPE = re.compile(rb'"type":"([a-z-]*)"')


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """A search; what is empty is not asked.

    ``words`` must all be in an entry, whatever the case; ``run`` is a run's name or its beginning,
    ``person`` and ``hospital`` are whole names, ``since`` and ``until`` (not included) ISO 8601
    times, UTC. A hospital's entries are those of runs that it takes part in, and acts about it.
    """

    words: str = ""
    run: str = ""
    person: str = ""
    hospital: str = ""
    since: str = ""
    until: str = ""


@dataclass(frozen=True, kw_only=True)
class FoundEntry:
    """An entry, and whose act it is about: who, what and about what; empty where of no act."""

    entry: EntryFacts
    act: str


@dataclass(frozen=True, kw_only=True)
class LogPage:
    """Found entries, newest first, of a log of ``size`` entries.

    ``next`` is where the next search goes on: entries before this number; None where the search
    has come to its end.
    """

    entries: tuple[FoundEntry, ...]
    size: int
    next: int | None


def search_log(
    session: Session, query: LogQuery, before: int | None = None, limit: int = 50
) -> LogPage:
    """Returns the newest entries that a search finds.

    The log's clock is taken to go forward: dates say where in the log is searched, and where the
    clock was set back a search by date may leave out what lies beside it.

    Args:
        session: the consortium's database.
        query: the search.
        before: only entries before this number; from the newest on when None.
        limit: so many entries at most.

    Raises:
        StoreBroken: an entry, or the record of an act, was changed.
    """
    head = newest_head(session)
    size = 0 if head is None else head.size
    first = _place(session, query.since, size) if query.since else 0
    last = _place(session, query.until, size) if query.until else size
    start = min(last, size if before is None else before)
    matters, words = _matters(session, query), query.words.lower().split()
    found: list[LoggedEntry] = []
    place = first  # where the search has come to its end
    for looked_at, entry in enumerate(_backwards(session, matters, first, start)):
        if len(found) == limit or looked_at == MOST:
            place = entry.index + 1
            break
        if _holds(entry, matters, words):
            found.append(entry)
    acts = _acts(session, [entry.content.payload for entry in found])
    return LogPage(
        entries=tuple(_found(entry, acts) for entry in found),
        size=size,
        next=place if place > first else None,
    )


@dataclass(frozen=True, kw_only=True)
class _About:
    """A matter that an entry is about: it is of one of these runs, or tells of one of these acts.

    Entries about acts are under no run.
    """

    runs: frozenset[str]
    acts: frozenset[str]

    def holds(self, entry: LogEntry) -> bool:
        """Whether an entry is about it."""
        return entry.run in self.runs or (entry.run is None and entry.payload in self.acts)


def _matters(session: Session, query: LogQuery) -> tuple[_About, ...]:
    """Returns the matters that every entry must be about."""
    found = []
    if query.run:
        runs = RunRow.id.startswith(query.run, autoescape=True)
        acts = ActRow.run_id.startswith(query.run, autoescape=True)
        found.append(_about(session, runs, acts))
    if query.hospital:
        runs = RunRow.sites_json.contains(f'"{query.hospital}":', autoescape=True)
        acts = (ActRow.subject_kind == "hospital") & (ActRow.subject == query.hospital)
        found.append(_about(session, runs, acts))
    if query.person:
        found.append(_about(session, false(), ActRow.person == query.person))
    return tuple(found)


def _about(session: Session, runs: ColumnElement[bool], acts: ColumnElement[bool]) -> _About:
    return _About(
        runs=frozenset(session.scalars(select(RunRow.id).where(runs))),
        acts=frozenset(session.scalars(select(ActRow.digest).where(acts))),
    )


def _holds(entry: LoggedEntry, matters: tuple[_About, ...], words: Sequence[str]) -> bool:
    """Whether an entry is about all matters, and holds all words (in lower case)."""
    if matters and not all(one.holds(entry.content) for one in matters):
        return False
    if not words:
        return True
    kind = _TYPE.search(entry.data)
    told = entry_words(kind[1].decode()) if kind else ""
    text = f"{entry.data.decode('utf-8', 'replace')} {told} {entry.leaf_hash.hex()}".lower()
    return all(word in text for word in words)


def _backwards(
    session: Session, matters: tuple[_About, ...], first: int, before: int
) -> Iterator[LoggedEntry]:
    """Yields entries from the one before a number back to the first, read in parts.

    Those of runs that are not asked for are left out by the database.
    """
    query = select(LogEntryRow).order_by(LogEntryRow.idx.desc())
    for one in matters:
        query = query.where(or_(LogEntryRow.run_id.in_(one.runs), LogEntryRow.run_id.is_(None)))
    while before > first:
        part = query.where(LogEntryRow.idx < before, LogEntryRow.idx >= first).limit(_CHUNK)
        rows = session.scalars(part).all()
        if not rows:
            return
        for row in rows:
            yield logged_entry(row)
        before = rows[-1].idx
        session.expunge_all()


def _place(session: Session, time: str, size: int) -> int:
    """Returns the number of the first entry of a time or later: the log is in order of time.

    Raises:
        StoreBroken: an entry on the way is missing or was changed.
    """
    wanted = write_time(read_time(time))
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        row = session.get(LogEntryRow, middle)
        if row is None:
            raise StoreBroken(f"audit entry {middle} is missing; restore a backup")
        if logged_entry(row).content.time < wanted:
            low = middle + 1
        else:
            high = middle
    return low


def _acts(session: Session, payloads: list[str]) -> Mapping[str, str]:
    """Returns acts in words, by their digests."""
    query = select(
        ActRow.digest, ActRow.person, ActRow.action, ActRow.subject_kind, ActRow.subject
    ).where(ActRow.digest.in_(payloads))
    return {
        digest: f"{person or 'NOBODY'}: {action} {kind} {subject}"
        for digest, person, action, kind, subject in session.execute(query)
    }


def _found(entry: LoggedEntry, acts: Mapping[str, str]) -> FoundEntry:
    content = entry.content
    return FoundEntry(
        entry=EntryFacts(
            index=entry.index,
            time=content.time,
            type=content.type,
            payload=content.payload,
            leaf_hash=entry.leaf_hash.hex(),
            run=content.run,
            round=content.round,
        ),
        act=acts.get(content.payload, ""),
    )
