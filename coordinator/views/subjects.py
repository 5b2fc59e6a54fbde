"""Facts for a report about a run, or about the runs of a study, a sweep, a hospital or a year."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from compliance.audit.log import LoggedEntry, LogHead
from compliance.facts.dossier import ActFacts, Dossier, SubjectFacts
from coordinator.database.log.cosignatures import COSIGNED, CosignaturesRow
from coordinator.database.store import (
    LogEntryRow,
    RunRow,
    StudyRow,
    entries_about,
    head_after,
    logged_entry,
    newest_head,
)
from coordinator.governance.governance import ACT_ENTRY
from coordinator.governance.models.lines import MODEL_ENTRY
from coordinator.governance.models.snapshots import SNAPSHOT_SIGNED
from coordinator.rounds.ending.red_teams import red_teams_of
from coordinator.views.governance import acts_in
from coordinator.views.one_run.dossiers import log_facts
from coordinator.views.one_run.preregistered import last_deviation
from coordinator.views.one_run.rows import find_run
from protocol.encoding import digest
from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.identity.roster import parse_roster
from protocol.identity.timestamps import read_time
from protocol.log.cosignature import cosignature_time
from protocol.log.entry import LogEntry

#: Things that a report can be about, by the name that people type.
SCOPES = ("run", "study", "sweep", "hospital", "period")
#: Seconds by which two clocks may differ: as far as the coordinator takes a hospital's requests.
_MOST_OFF = 300
#: So many cosigned heads are read at once.
_AT_ONCE = 500
#: So many digits of a study's digest name it.
_MIN_DIGEST = 8
#: Entries of no run: a study's, and those that say nothing of the consortium.
_REGISTERED, _OF_NO_ONE = "study-registered", frozenset({"page", "masked"})


def subject_facts(
    session: Session,
    scope: str,
    name: str,
    dossier: Callable[[RunRow], Dossier],
    until: int | None = None,
) -> SubjectFacts:
    """Returns the facts for a report.

    Args:
        session: the consortium's database.
        scope: one of ``SCOPES``.
        name: a run, study, sweep or hospital, or its beginning; a year or a month (``2026-11``).
        dossier: makes a run's dossier.
        until: only runs and entries before this number; what is newest when None, of one run its
            own last entry.

    Raises:
        WorkspaceRefused: there is nothing of this name.
    """
    rows, called = _named(session, scope, name, until)
    head = _head(session, scope, rows, until)
    end = head.size if head else 0
    found = tuple(_until(dossier(row), end) for row in rows)
    if scope == "hospital":
        found = tuple(_of_hospital(one, called) for one in found)
    digests = {one.study_digest for one in found}
    runs = {one.run_id for one in found}
    found_about = entries_about(session, runs, end, without=_OF_NO_ONE)
    snapshots = {one.signed.digest for one in found if one.signed is not None}
    entries = [entry for entry in found_about if _is_about(entry, runs, digests, snapshots)]
    return SubjectFacts(
        scope=scope,
        name=called,
        dossiers=found,
        log=log_facts(head, entries),
        red_team=tuple(one for row in rows for one in red_teams_of(session, row.id)),
        rosters=tuple((row.id, valid) for row in rows if (valid := _roster_end(row))),
        acts=_acts(session, entries, runs),
        clocks=clocks_of(session, entries),
    )


def clocks_of(session: Session, entries: Sequence[LoggedEntry]) -> tuple[tuple[str, float], ...]:
    """Returns the cosigners whose clock was far from the log's, with the most seconds ahead.

    A head is cosigned after it was signed, and the cosignature is kept after that.
    """
    kept = {
        entry.content.payload: read_time(entry.content.time).timestamp()
        for entry in entries
        if entry.content.type == COSIGNED
    }
    off: dict[str, float] = {}
    query = select(CosignaturesRow, LogEntryRow).join(
        LogEntryRow, LogEntryRow.idx == CosignaturesRow.size - 1
    )
    rows = query.order_by(CosignaturesRow.size).execution_options(yield_per=_AT_ONCE)
    for row, before in session.execute(rows):
        after = kept.get(digest(row.lines.encode()))
        if after is None:
            continue
        signed = read_time(logged_entry(before).content.time).timestamp()
        for line in row.signatures:
            time = float(cosignature_time(line))
            ahead = max(0.0, time - after) or min(0.0, time + 1 - signed)  # it counts whole seconds
            if abs(ahead) > _MOST_OFF and abs(ahead) > abs(off.get(line.name, 0.0)):
                off[line.name] = ahead
    return tuple(sorted(off.items()))


def _acts(session: Session, entries: Sequence[LoggedEntry], runs: set[str]) -> tuple[ActFacts, ...]:
    """Returns the acts that entries hold, as they then stood, of these runs or of none."""
    at: dict[str, list[LogEntry]] = defaultdict(list)
    for entry in entries:
        if entry.content.type.startswith(ACT_ENTRY):
            at[entry.content.payload].append(entry.content)
    return tuple(
        ActFacts(
            entries=tuple(entry.seq for entry in at[act.digest]),
            at=act.at,
            person=act.person,
            role=act.role,
            action=act.action,
            subject=f"{act.subject_kind} {act.subject}",
            run=act.run,
            outcome=at[act.digest][-1].type.removeprefix(ACT_ENTRY),
        )
        for act in acts_in(session)
        if act.digest in at and (act.run is None or act.run in runs)
    )


def _named(session: Session, scope: str, name: str, until: int | None) -> tuple[list[RunRow], str]:
    """Returns the runs that are meant, oldest first, and what they are called together."""
    if scope == "run":
        row = find_run(session, name)
        return [row], row.id
    rows = session.scalars(select(RunRow).order_by(RunRow.started_at, RunRow.id))
    chosen = [row for row in rows if _is_meant(session, scope, row, name)]
    if until is not None:
        chosen = [row for row in chosen if _last_entry(session, row) < until]
    if not chosen:
        raise WorkspaceRefused(f"there is no run of {scope} {name!r} here: collegium runs list")
    return chosen, name


def _is_meant(session: Session, scope: str, row: RunRow, name: str) -> bool:
    match scope:
        case "study":
            beginning = len(name) >= _MIN_DIGEST and row.study_digest.startswith(name)
            return beginning or session.get_one(StudyRow, row.study_digest).name == name
        case "sweep":
            return row.sweep == name
        case "hospital":
            return name in json.loads(row.sites_json)
        case _:
            return row.started_at.startswith(f"{name}-")


def _last_entry(session: Session, row: RunRow) -> int:
    """Returns the number of a run's last entry; -1 where it has none."""
    query = select(func.max(LogEntryRow.idx)).filter_by(run_id=row.id)
    found = session.scalar(query)
    return -1 if found is None else found


def _head(session: Session, scope: str, rows: list[RunRow], until: int | None) -> LogHead | None:
    if until is not None:
        return head_after(session, until - 1)
    if scope == "run":
        last = _last_entry(session, rows[0])
        return head_after(session, max(last, last_deviation(session, rows[0].id)))
    return newest_head(session)


def _until(dossier: Dossier, size: int) -> Dossier:
    """Returns a run with what the first ``size`` entries of the log tell of its registration."""
    facts = dossier.registration
    return dossier if facts is None else replace(dossier, registration=facts.until(size))


def _of_hospital(dossier: Dossier, site: str) -> Dossier:
    """Returns a run with the figures of one hospital alone, which decide no preregistration."""
    study = {name: said for name, said in dossier.study.items() if name != "preregistration"}
    own = tuple(one for one in dossier.sites if one.site == site)
    return replace(dossier, sites=own, study=study, registration=None)


def _is_about(entry: LoggedEntry, runs: set[str], digests: set[str], snapshots: set[str]) -> bool:
    """Whether an entry is of these runs, studies or snapshots, or an act of the consortium."""
    content = entry.content
    if content.run is not None:
        return content.run in runs
    if content.type == _REGISTERED:
        return content.payload in digests
    if content.type == SNAPSHOT_SIGNED or content.type.startswith(MODEL_ENTRY):
        return content.payload in snapshots
    return content.type not in _OF_NO_ONE


def _roster_end(row: RunRow) -> str:
    """Returns when the roster of a run ends; empty where it cannot be read."""
    try:
        return parse_roster(row.roster_json.encode()).valid_until
    except MessageRefused:
        return ""
