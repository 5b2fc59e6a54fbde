"""Released models as people see them: the lines of the register, and snapshots in none of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.estimates.interval import Interval
from compliance.facts.dossier import AttackFigure, RedTeamFacts, strongest_figures
from compliance.facts.figures import TASK_FIGURES
from compliance.governance.models.gate import Gate
from compliance.governance.models.gates import GateRules, judge
from compliance.governance.models.serving import (
    Disagreement,
    StatedServing,
    disagreements,
    stated_at,
    versions_of,
)
from compliance.governance.models.stages import (
    EventKind,
    LineState,
    ModelLine,
    Stage,
    StageEvent,
)
from coordinator.database.store import LogEntryRow, logged_entry, place_in_entry
from coordinator.governance.models.lines import MODEL_ENTRY, line_of, lines_in, rules_of
from coordinator.governance.models.serving import require_known, statements_in
from coordinator.governance.models.snapshots import signed_of
from coordinator.governance.models.tables import ModelEventRow, ModelLineRow, SignedSnapshotRow
from coordinator.rounds.ending.gate_facts import gate_facts, headline_of, study_of_snapshot
from coordinator.rounds.ending.red_teams import red_teams_of
from protocol.errors import StoreBroken
from protocol.transport.serving_statement import ServingStatement, parse_serving_statement
from protocol.transport.snapshot import SignedSnapshot, Snapshot


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A signed snapshot, and its stage in a line; None where it is in none.

    Attributes:
        snapshot: what hospitals signed.
        signatures: how many did.
        study: the name of its study.
        figure: what its headline is called.
        headline: the released figure; None where none was released.
        stage: in its line.
        gates: how each gate stands now; none where it is in no line, or retired.
        attacks: what red teams found about its run, the oldest first; none where none attacked.
    """

    snapshot: Snapshot
    signatures: int
    study: str
    figure: str
    headline: Interval | None
    stage: Stage | None = None
    gates: tuple[Gate, ...] = ()
    attacks: tuple[RedTeamFacts, ...] = ()

    @property
    def attack_figures(self) -> tuple[AttackFigure, ...]:
        """Every figure of attacks, by the one that showed most; each says why where it lacks."""
        return strongest_figures(self.attacks)

    @property
    def epsilon(self) -> float | None:
        """The most that a training patient paid at one hospital; None where nothing is claimed."""
        paid = [one.epsilon for one in self.snapshot.privacy if one.epsilon is not None]
        return max(paid) / 1e6 if paid else None


@dataclass(frozen=True, kw_only=True)
class ModelLineView:
    """A line of the register: its thresholds, its history, its versions by their last event.

    ``statements`` are what hospitals stated that they served, in the order of the log;
    ``disagreements`` are where the newest one of a hospital names another version than the
    hospital was to serve.
    """

    line: ModelLine
    rules: GateRules
    versions: tuple[ModelVersion, ...]
    statements: tuple[ServingStatement, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()

    def stated_by(self, site: str) -> ServingStatement | None:
        """Returns a hospital's newest statement; None where it made none about this line."""
        return _newest(self.statements).get(site)


@dataclass(frozen=True, kw_only=True)
class ServedVersion:
    """The version that the register had a hospital serve at a time.

    Attributes:
        version: the snapshot's digest; None where none was.
        since: the event by which it was that hospital's; None likewise.
        entry: the number of the log's entry of that event.
        stated: what the hospital stated of that time; None where it has not stated it.
        stated_entry: the number of the log's entry of that statement.
    """

    line: str
    site: str
    time: str
    version: str | None = None
    since: StageEvent | None = None
    entry: int | None = None
    stated: StatedServing | None = None
    stated_entry: int | None = None


def models_in(session: Session) -> tuple[ModelLineView, ...]:
    """Returns every line, by name.

    Raises:
        StoreBroken: a snapshot is damaged or missing.
    """
    return tuple(_line_view(session, name) for name in lines_in(session))


def snapshots_in(session: Session) -> tuple[ModelVersion, ...]:
    """Returns every signed snapshot, the newest first, without stages."""
    rows = session.scalars(select(SignedSnapshotRow).order_by(SignedSnapshotRow.id.desc()))
    return tuple(_version(session, signed_of(row)) for row in rows)


def served_in(session: Session, line: str, site: str, time: str) -> ServedVersion:
    """Returns which version a hospital was to serve at a time, by which entry of the log.

    Raises:
        PolicyRefused: there is no such line, or no roster ever named the hospital.
    """
    found = line_of(session, line)
    require_known(session, site)
    version = found.at(time).served_at(site)
    state, before, place = LineState(), None, None
    for number, event in enumerate(found.events):
        if event.time > time:
            break
        state = state.after(event)
        if state.served_at(site) != before:
            before, place = state.served_at(site), number
    # Not those about this model alone: one was taken, maybe, before its versions were registered.
    statements = [one.statement for one in statements_in(session, site)]
    stated = stated_at(found, statements, site, time)
    served = ServedVersion(
        line=line,
        site=site,
        time=time,
        stated=stated,
        stated_entry=None if stated is None else _entry_of_statement(session, stated),
    )
    if version is None or place is None:
        return served
    return replace(
        served,
        version=version,
        since=found.events[place],
        entry=_entry_of(session, line, place),
    )


def _line_view(session: Session, name: str) -> ModelLineView:
    line = line_of(session, name)
    rules = rules_of(session.get_one(ModelLineRow, name))
    state = line.state
    moved = [one for one in line.events if one.kind is not EventKind.SERVED_STATED]
    digests = list(dict.fromkeys(event.version for event in reversed(moved)))
    statements = _statements_about(session, line)
    table = SignedSnapshotRow
    rows = session.scalars(select(table).where(table.digest.in_(digests)))
    signed = {row.digest: signed_of(row) for row in rows}
    missing = [digest for digest in digests if digest not in signed]
    if missing:
        raise StoreBroken(
            f"snapshot {missing[0][:12]} of model {name} is missing: restore the database from a "
            "backup"
        )
    reference = None if state.reference is None else signed[state.reference]
    versions = []
    for digest in digests:
        stage = state.stages[digest]
        beside = None if state.reference == digest else reference
        gates: tuple[Gate, ...] = ()
        if stage is not Stage.RETIRED:
            gates = judge(gate_facts(session, signed[digest], beside, line), rules)
        versions.append(_version(session, signed[digest], stage, gates))
    return ModelLineView(
        line=line,
        rules=rules,
        versions=tuple(versions),
        statements=statements,
        disagreements=_disagreements(line, statements),
    )


def disagreements_in(session: Session, name: str) -> tuple[Disagreement, ...]:
    """Returns where the newest statements of hospitals disagree with a line, by hospital and time.

    Raises:
        PolicyRefused: there is no such line.
    """
    line = line_of(session, name)
    return _disagreements(line, _statements_about(session, line))


def _statements_about(session: Session, line: ModelLine) -> tuple[ServingStatement, ...]:
    """Returns the statements that were taken about a model, or name a version that it has now."""
    taken = {one.statement.digest for one in statements_in(session, line=line.name)}
    known = versions_of(line)
    return tuple(
        one.statement
        for one in statements_in(session)
        if one.statement.digest in taken
        or any(period.snapshot in known for period in one.statement.periods)
    )


def _disagreements(
    line: ModelLine, statements: Iterable[ServingStatement]
) -> tuple[Disagreement, ...]:
    newest = _newest(statements).values()
    return tuple(one for said in newest for one in disagreements(line, said))


def _newest(statements: Iterable[ServingStatement]) -> dict[str, ServingStatement]:
    """Returns each hospital's newest statement, by site."""
    found: dict[str, ServingStatement] = {}
    for one in sorted(statements, key=lambda said: (said.site, said.number)):
        found[one.site] = one
    return found


def _version(
    session: Session,
    signed: SignedSnapshot,
    stage: Stage | None = None,
    gates: Iterable[Gate] = (),
) -> ModelVersion:
    study = study_of_snapshot(session, signed.snapshot)
    kind = TASK_FIGURES[study.task.kind].headline
    return ModelVersion(
        snapshot=signed.snapshot,
        signatures=len(signed.signatures),
        study=study.name,
        figure=kind.title,
        headline=headline_of(signed.snapshot, kind),
        stage=stage,
        gates=tuple(gates),
        attacks=red_teams_of(session, signed.snapshot.run),
    )


def _entry_of_statement(session: Session, stated: StatedServing) -> int | None:
    """Returns the number of the log's entry of a statement, about whatever model it was taken."""
    query = select(ModelEventRow).filter_by(kind=EventKind.SERVED_STATED.value)
    for row in session.scalars(query.order_by(ModelEventRow.id)):
        if parse_serving_statement(row.reason.encode()).statement.digest == stated.statement:
            return _entry_of_row(session, row)
    return None


def _entry_of(session: Session, line: str, place: int) -> int | None:
    """Returns the number of the log's entry of a line's event by its place in the history."""
    rows = session.scalars(select(ModelEventRow).filter_by(line=line).order_by(ModelEventRow.id))
    return _entry_of_row(session, list(rows)[place])


def _entry_of_row(session: Session, row: ModelEventRow) -> int | None:
    query = select(LogEntryRow).where(place_in_entry(session, row.record.encode()) != 0)
    for entry in session.scalars(query.order_by(LogEntryRow.idx)):
        if logged_entry(entry).content.type == f"{MODEL_ENTRY}{row.kind}":
            return entry.idx
    return None
