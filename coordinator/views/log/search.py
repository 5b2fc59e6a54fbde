"""Search over the whole log: the newest entries first, so many at a time.

An entry holds digests, so what is searched in is its number, time, type (as it is and in words),
run and digests; and whose act it is, from the acts' rows. A search looks at ``MOST`` entries at
most and says how far it came; the next one goes on from there. Entries of runs and of acts that
are asked for are found by the database and by ``ActPlaces``: no others are looked at.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import and_

from sqlalchemy import ColumnElement, false, or_, select
from sqlalchemy.orm import Session

from compliance.audit.log import LoggedEntry
from compliance.facts.dossier import EntryFacts
from compliance.governance.people import act_words
from compliance.reports.evidence import entry_words
from coordinator.database.store import LogEntryRow, RunRow, logged_entry, newest_head, read_entry
from coordinator.governance.tables import ActRow
from coordinator.views.log.act_places import ActPlaces
from coordinator.views.one_run.dossiers import entry_facts
from protocol.errors import StoreBroken
from protocol.identity.timestamps import read_time, write_time
from protocol.log.entry import LogEntry

#: So many entries are looked at in one search: about a second.
MOST = 200_000
#: So many of the log's numbers are read at once, at first and at most.
_PART, _MOST_PART = 2_000, 32_000
_HEX = frozenset("0123456789abcdef")
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
    session: Session,
    query: LogQuery,
    before: int | None = None,
    limit: int = 50,
    places: ActPlaces | None = None,
) -> LogPage:
    """Returns the newest entries that a search finds.

    The log's clock is taken to go forward: dates say where in the log is searched, and where the
    clock was set back a search by date may leave out what lies beside it.

    Args:
        session: the consortium's database.
        query: the search.
        before: only entries before this number; from the newest on when None.
        limit: so many entries at most.
        places: of the entries about acts, as they were read before.

    Raises:
        StoreBroken: an entry, or the record of an act, was changed.
    """
    head = newest_head(session)
    size = 0 if head is None else head.size
    first = _place(session, query.since, size) if query.since else 0
    last = _place(session, query.until, size) if query.until else size
    start = min(last, size if before is None else before)
    matter, words = _matter(session, query), query.words.lower().split()
    acts = () if matter is None else (places or ActPlaces()).read(session, size, matter.acts)
    found: list[LoggedEntry] = []
    place = first  # where the search has come to its end
    for looked_at, entry in enumerate(_backwards(session, matter, acts, first, start)):
        if len(found) == limit or looked_at == MOST:
            place = entry.index + 1
            break
        if _holds(entry, words) and (matter is None or matter.holds(entry.content)):
            found.append(entry)
    told = _acts(session, [entry.content.payload for entry in found])
    return LogPage(
        entries=tuple(_found(entry, told) for entry in found),
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

    def __and__(self, other: "_About") -> "_About":
        return _About(runs=self.runs & other.runs, acts=self.acts & other.acts)

    def holds(self, entry: LogEntry) -> bool:
        """Whether an entry is about it."""
        return entry.run in self.runs or (entry.run is None and entry.payload in self.acts)


def _matter(session: Session, query: LogQuery) -> _About | None:
    """Returns the matter that every entry must be about; None where none is asked for."""
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
    return reduce(and_, found) if found else None


def _about(session: Session, runs: ColumnElement[bool], acts: ColumnElement[bool]) -> _About:
    return _About(
        runs=frozenset(session.scalars(select(RunRow.id).where(runs))),
        acts=frozenset(session.scalars(select(ActRow.digest).where(acts))),
    )


def _holds(entry: LoggedEntry, words: Sequence[str]) -> bool:
    """Whether an entry holds all words (in lower case)."""
    if not words:
        return True
    text = entry.data.decode("utf-8", "replace").lower()
    return all(word in text or _is_beside(word, entry) for word in words)


def _is_beside(word: str, entry: LoggedEntry) -> bool:
    """Whether a word is in what an entry's type means, or in its leaf hash."""
    kind = _TYPE.search(entry.data)
    if kind is not None and word in _meaning(kind[1]):
        return True
    return _HEX.issuperset(word) and word in entry.leaf_hash.hex()


@lru_cache(maxsize=1000)
def _meaning(kind: bytes) -> str:
    return entry_words(kind.decode()).lower()


def _backwards(
    session: Session, matter: _About | None, acts: Sequence[int], first: int, before: int
) -> Iterator[LoggedEntry]:
    """Yields entries from the one before a number back to the first, read in parts.

    Of a matter, only those of its runs and those at its acts' places.
    """
    columns = LogEntryRow.idx, LogEntryRow.leaf_hash, LogEntryRow.entry
    query = select(*columns).order_by(LogEntryRow.idx.desc())
    length = _PART
    while before > first:
        begin = max(first, before - length)
        wanted = [LogEntryRow.idx >= begin, LogEntryRow.idx < before]
        if matter is not None:
            told = acts[bisect_left(acts, begin) : bisect_left(acts, before)]
            wanted.append(or_(LogEntryRow.run_id.in_(matter.runs), LogEntryRow.idx.in_(told)))
        for index, leaf, data in session.execute(query.where(*wanted)):
            yield read_entry(index, leaf, data)
        before, length = begin, min(2 * length, _MOST_PART)


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
        digest: f"{person or 'NOBODY'}: {act_words(action)} ({kind} {subject})"
        for digest, person, action, kind, subject in session.execute(query)
    }


def _found(entry: LoggedEntry, acts: Mapping[str, str]) -> FoundEntry:
    return FoundEntry(entry=entry_facts(entry), act=acts.get(entry.content.payload, ""))
