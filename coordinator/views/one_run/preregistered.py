"""Records about a preregistered run: its registration, earlier runs, declared deviations.

Runs of other studies count too where they ask the same of the same hospitals: whoever runs ten
studies and reports one shows nine more here.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.facts.dossier import (
    DeclaredDeviation,
    EarlierRun,
    LoggedMoment,
    RegistrationFacts,
    Relation,
)
from compliance.facts.dossier.registration_facts import RUNNING
from coordinator.database.store import LogEntryRow, RunRow, place_in_entry, read_entry
from coordinator.governance.tables import ActRow
from coordinator.views.one_run.study_line import StudyLine, line_of, study_lines
from protocol.errors import StoreBroken
from protocol.log.entry import LogEntry
from protocol.study.study import Study

#: The act by which a person declares a deviation from a preregistration.
DEVIATE = "run.deviate"
#: States by the entry that ends a run; what a red team finds later is added after the first.
_ENDS = {"run-failed": "failed", "run-stopped": "stopped", "run-finished": "finished"}
#: So many names stand in one condition of a query.
_NAMES = 500


def registration_of(session: Session, row: RunRow, study: Study) -> RegistrationFacts | None:
    """Returns the registration of a preregistered run; None of a study without preregistration.

    Raises:
        StoreBroken: a record is damaged.
    """
    if study.preregistration is None:
        return None
    registered = _first(session, "study-registered", row.study_digest)
    began, related = _related(session, row, line_of(study))
    return RegistrationFacts(
        registered=registered,
        earlier=tuple(one for place, one in related if began is not None and place < began),
        declared=_declared(session, row.id),
        later=tuple(one for place, one in related if began is not None and place > began),
    )


def last_deviation(session: Session, run_id: str) -> int:
    """Returns the number of the entry of the last deviation declared of a run; -1 without any."""
    return max((one.entry.index for one in _declared(session, run_id)), default=-1)


def _first(session: Session, kind: str, payload: str) -> LoggedMoment | None:
    """Returns the first entry of a type, or of any that begins so, that names a digest."""
    where = [place_in_entry(session, text) > 0 for text in (payload.encode(), kind.encode())]
    query = select(LogEntryRow.idx, LogEntryRow.leaf_hash, LogEntryRow.entry).where(
        LogEntryRow.run_id.is_(None), *where
    )
    for found in session.execute(query.order_by(LogEntryRow.idx)):
        entry = read_entry(*found).content
        if entry.type.startswith(kind) and entry.payload == payload:
            return _moment(entry)
    return None


def _moment(entry: LogEntry) -> LoggedMoment:
    return LoggedMoment(index=entry.seq, time=entry.time)


def _related(
    session: Session, row: RunRow, own: StudyLine
) -> tuple[int | None, list[tuple[int, EarlierRun]]]:
    """Returns the entry at which a run began, and related ones with theirs, oldest first."""
    columns = RunRow.id, RunRow.study_digest, RunRow.started_at, RunRow.simulation
    runs = session.execute(select(*columns)).all()
    lines = study_lines(session, {one.study_digest for one in runs})
    related = {
        one.id: (one, relation)
        for one in runs
        if one.id != row.id and (relation := _relation(own, lines[one.study_digest])) is not None
    }
    began = _of_runs(session, "run-started", [row.id, *related])
    released = _of_runs(session, "release", related)
    ended = {
        name: (at, state)
        for kind, state in _ENDS.items()
        for name, at in _of_runs(session, kind, related).items()
    }
    found = [
        (
            began[name].index,
            EarlierRun(
                run_id=name,
                state=ended[name][1] if name in ended else RUNNING,
                started_at=one.started_at,
                study_name=lines[one.study_digest].name,
                study_digest=one.study_digest,
                relation=relation,
                released=released.get(name),
                same_patients=_tests_again(row, own, one, lines[one.study_digest]),
                ended=ended[name][0] if name in ended else None,
                began=began[name],
            ),
        )
        for name, (one, relation) in related.items()
        if name in began
    ]
    return (
        began[row.id].index if row.id in began else None,
        sorted(found, key=lambda pair: pair[0]),
    )


def _relation(own: StudyLine, other: StudyLine) -> Relation | None:
    """Returns how another study is related to a run's, closest first; None where it is not."""
    if other.digest == own.digest:
        return Relation.SAME_STUDY
    if other.preregistration == own.preregistration:
        return Relation.SAME_PREREGISTRATION
    if other.name == own.name:
        return Relation.SAME_NAME
    if other.question == own.question:
        return Relation.SAME_QUESTION
    shared = set(other.sites) & set(own.sites)
    return Relation.SAME_TARGET if other.targets & own.targets and shared else None


def _tests_again(row: RunRow, own: StudyLine, one: Any, other: StudyLine) -> bool:
    """Whether another run tested patients that this one tests: the same rule, and hospitals.

    A real hospital splits by one key of its own, whatever the study; a simulation by the study's
    seed.
    """
    if own.tested != other.tested or not set(own.sites) & set(other.sites):
        return False
    if row.simulation != one.simulation:
        return False
    return not row.simulation or own.split == other.split


def _of_runs(session: Session, kind: str, runs: Iterable[str]) -> Mapping[str, LoggedMoment]:
    """Returns the first entry of a type of each run."""
    names, found = [*runs], dict[str, LoggedMoment]()
    for first in range(0, len(names), _NAMES):
        query = select(LogEntryRow.idx, LogEntryRow.leaf_hash, LogEntryRow.entry).where(
            LogEntryRow.run_id.in_(names[first : first + _NAMES]),
            place_in_entry(session, f'"type":"{kind}"'.encode()) > 0,
        )
        for line in session.execute(query.order_by(LogEntryRow.idx)):
            entry = read_entry(*line).content
            if entry.run is not None:
                found.setdefault(entry.run, _moment(entry))
    return found


def _declared(session: Session, run_id: str) -> tuple[DeclaredDeviation, ...]:
    query = select(ActRow).filter_by(action=DEVIATE, subject=run_id, outcome="done")
    acts: Sequence[ActRow] = session.scalars(query.order_by(ActRow.id)).all()
    return tuple(_deviation(session, act) for act in acts)


def _deviation(session: Session, act: ActRow) -> DeclaredDeviation:
    entry = _first(session, "act-", act.digest)
    if entry is None:
        raise StoreBroken(f"the log has no entry of act {act.digest[:16]}; restore a backup")
    try:
        said = str(json.loads(act.details_json)["text"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreBroken("the record of an act is damaged; restore a backup") from error
    return DeclaredDeviation(
        at=act.at, person=act.person, role=act.role, text=said, act=act.digest, entry=entry
    )
