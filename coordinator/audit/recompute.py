"""Recomputes a kept round's sum, bit by bit, and the model that follows from it.

Nothing is believed that is not in the signed log: the roster, the transcript,
the sum and the model of the round must all have the digests that were logged.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import verify_log
from coordinator.audit.course_check import require_course
from coordinator.database.round_archive import RoundArchive
from coordinator.database.store import (
    ReleaseRow,
    RoundRow,
    RunRow,
    StudyRow,
    logged_entries,
    signed_heads,
)
from coordinator.rounds.attempts.conduct import conduct_from
from coordinator.rounds.evaluation.released import released_json
from coordinator.rounds.means import RoundMean, SummedSites, round_mean
from coordinator.rounds.run_course import kinds_of
from coordinator.rounds.site_tables import figures_of
from protocol.encoding import blob_digest, digest
from protocol.errors import (
    MessageRefused,
    QuorumLost,
    StoreBroken,
    SumRefused,
    WorkspaceRefused,
)
from protocol.identity.roster import Roster, parse_roster
from protocol.log.entry import LogEntry
from protocol.secagg.server import SecAggServer
from protocol.secagg.transcript import Transcript, replay
from protocol.study.strategies.registry import strategy_of
from protocol.study.strategies.sent_slots import without_slots
from protocol.study.strategies.server_state import (
    SUM,
    begun,
    model_of,
    needs_more_than_its_model,
    next_state,
)
from protocol.study.strategies.training import Training
from protocol.study.study import Study
from protocol.transport.privacy_summary import open_summary, read_summaries
from protocol.vectors.tensors import decode_tensors, flatten, layout_of, model_digest

#: Machines round logarithms differently, and a figure may be the root of a sum of them.
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class RecomputedSum:
    """One sum of a round that is the logged one: of all hospitals, or of a group of them."""

    context: str
    survivors: tuple[str, ...]
    dim: int
    vector_bytes: int
    sum: str


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """A round whose sums are the logged ones, and what was compared with what follows from them.

    ``model`` where the sums decide it, ``figures`` after an evaluation.
    """

    run_id: str
    round_kind: str
    round: int
    sums: tuple[RecomputedSum, ...]
    model: str | None
    figures: bool

    def to_json(self) -> dict[str, Any]:
        """Returns the round as ``--json`` shows it; a single sum in one record with it."""
        (first, *others), said = self.sums, asdict(self)
        return said if others else asdict(first) | {k: said[k] for k in said if k != "sums"}


def recompute(
    session: Session,
    archive: RoundArchive,
    public: bytes,
    *,
    run_id: str,
    round_kind: str,
    number: int,
) -> Recomputed:
    """Returns a finished round after computing its sums again from what the hospitals sent.

    Args:
        session: the consortium's database.
        archive: the kept rounds.
        public: the key that the log is verified with.
        run_id: which run.
        round_kind: training or evaluation.
        number: the round, from 0.

    Raises:
        WorkspaceRefused: there is no such finished round, or it is no longer kept.
        StoreBroken: the evidence, or what followed from it, is not what was logged; or the run took
            another course than its released figures give.
    """
    where = {"run_id": run_id, "round_kind": round_kind, "number": number, "state": "finished"}
    rows = session.scalars(select(RoundRow).filter_by(**where).order_by(RoundRow.id)).all()
    if not rows:
        raise WorkspaceRefused(f"run {run_id} has no finished {round_kind} round {number + 1}")
    log = _verified_log(session, public)
    run = session.get_one(RunRow, run_id)
    study, roster = _study(session, run), parse_roster(run.roster_json.encode())
    require_course(session, run, study, log)
    machines = []
    for row in rows:
        logged = _logged(log, row)
        transcript = _transcript(session, archive, row, study)
        if transcript.digest != logged.get("transcript"):
            raise StoreBroken("the transcript is not the one in the log")
        machines.append(_replayed(archive, transcript, roster, study, logged))
    training = round_kind == "training"
    if training:
        _require_sums_of(study, number, machines)
    return Recomputed(
        run_id=run_id,
        round_kind=round_kind,
        round=number + 1,
        sums=tuple(
            RecomputedSum(
                context=machine.context.digest,
                survivors=machine.survivors,
                dim=machine.context.dim,
                vector_bytes=machine.context.blob_bytes,
                sum=_sum_digest(machine),
            )
            for machine in machines
        ),
        model=_followed(session, run, archive, machines, log) if training else None,
        figures=not training and _require_figures(session, run, study, roster, machines[-1]),
    )


def _replayed(
    archive: RoundArchive,
    transcript: Transcript,
    roster: Roster,
    study: Study,
    logged: Mapping[str, str],
) -> SecAggServer:
    """Returns a sum that is computed again, after comparing it with the log."""
    context = transcript.context.digest
    try:
        machine = replay(
            transcript,
            roster,
            lambda name: archive.vector(context, name),
            own_cells=study.evaluation_vector.own_cells,
        )
    except (MessageRefused, QuorumLost, SumRefused) as error:
        raise StoreBroken(f"what the hospitals sent does not give a sum: {error}") from error
    found, said = _sum_digest(machine), logged.get("sum", "")
    if found != said:
        raise StoreBroken(
            f"the sum of what the hospitals sent is {found[:16]}, the log says "
            f"{said[:16]}: another aggregate was used"
        )
    return machine


def _sum_digest(machine: SecAggServer) -> str:
    return blob_digest(machine.total().view("u1").data)


def _require_sums_of(study: Study, number: int, machines: Sequence[SecAggServer]) -> None:
    """Requires sums of just those sites that the study sums in this round, each once."""
    declared = [one.sites for one in study.sums("training", number)]
    found = [machine.context.participants for machine in machines]
    if (
        len(set(found)) < len(found)
        or not set(found) <= set(declared)
        or len(found) < study.least_sums("training")
    ):
        raise StoreBroken("the hospitals were not summed with each other as the study says")


def _transcript(session: Session, archive: RoundArchive, row: RoundRow, study: Study) -> Transcript:
    transcript = archive.transcript(row.context)
    if transcript is None:
        raise WorkspaceRefused(
            f"{name_of(study, row.round_kind, row.number)} is no longer kept: the study keeps the "
            "last rounds only (aggregation.keep_rounds); there are: "
            f"{_kept(session, archive, row.run_id, study)}"
        )
    return transcript


def name_of(study: Study, round_kind: str, number: int) -> str:
    """Returns what people call a round, which counts from 0."""
    if round_kind == "evaluation" and number > study.training.rounds:
        return f"the {study.evaluations.place(round_kind, number)}"
    return f"{round_kind} round {number + 1}"


def _kept(session: Session, archive: RoundArchive, run_id: str, study: Study) -> str:
    rows = session.scalars(select(RoundRow).filter_by(run_id=run_id).order_by(RoundRow.id))
    names = [
        study.evaluations.name(row.round_kind, row.number)
        for row in rows
        if archive.holds(row.context)
    ]
    return ", ".join(dict.fromkeys(names)) or "none"


def _verified_log(session: Session, public: bytes) -> tuple[LogEntry, ...]:
    """Returns what the log's entries say, after verifying all of it."""
    entries = logged_entries(session)
    verify_log(entries, signed_heads(session), public)
    return tuple(entry.content for entry in entries)


def _logged(log: Iterable[LogEntry], row: RoundRow) -> dict[str, str]:
    """Returns what the verified log says about one attempt of a round, by type of entry."""
    key = (row.run_id, row.number, row.attempt)
    own = [c for c in log if (c.run, c.round, c.attempt) == key]
    opened = {c.payload for c in own if c.type == "round-opened"}
    if row.context not in opened:
        raise StoreBroken("the round is not the one in the log")
    return {c.type: c.payload for c in own}


def _followed(
    session: Session,
    run: RunRow,
    archive: RoundArchive,
    machines: Sequence[SecAggServer],
    log: tuple[LogEntry, ...],
) -> str | None:
    """Returns the digest of the model that the sums give, after checking it against the log.

    None where the result follows from more than the model of the round before.
    """
    context = machines[-1].context
    study = _study(session, run)
    before, rows = _model_before(archive, context.digest), _training_rounds(session, run)
    if any(machine.context.model_hash != model_digest(before) for machine in machines):
        raise StoreBroken("the model of the round is not the one that its context names")
    training, last = study.training, context.round == study.training.rounds - 1
    slots: dict[str, NDArray[np.float64]] = {}
    if needs_more_than_its_model(training, context.round):
        averages_only = last and not strategy_of(training).remembers(training)
        earlier = _averaged_before(archive, log, rows, training) if averages_only else None
        if earlier is None:
            return None
        slots = {SUM: earlier}
    layout = layout_of(without_slots(before))
    sums = [SummedSites(survivors=each.survivors, total=each.total()) for each in machines]
    found = round_mean(study, before, context.round, sums)
    if study.robust is not None:
        _require_described(session, machines, found)
    start = begun(training, before, context.round)
    state = next_state(training, replace(start, slots={**start.slots, **slots}), found.mean)
    name = model_digest(model_of(training, layout, state))
    if name != _logged(log, rows[context.round]).get("result"):
        raise StoreBroken(f"the sum gives model {name[:16]}, the log says another: it was swapped")
    return name


def _require_described(
    session: Session, machines: Sequence[SecAggServer], found: RoundMean
) -> None:
    """Requires the record of what a robust rule gave, and of how its sums lay to it, to be right.

    Not the direction: what the round before gave is not kept with this one.
    """
    for machine, distance in zip(machines, found.distances, strict=True):
        row = session.scalars(select(RoundRow).filter_by(context=machine.context.digest)).one()
        said = conduct_from(row.conduct_json)
        if not _are_alike([said.norm, said.distance], [found.norm, distance]):
            raise StoreBroken("how a group's mean lay to the round's is not what was written down")


def _model_before(archive: RoundArchive, context_digest: str) -> dict[str, NDArray[np.float32]]:
    """Returns the model that a kept round began with."""
    try:
        return decode_tensors(archive.model(context_digest))
    except MessageRefused as error:
        raise StoreBroken(f"the model of the round is damaged: {error}") from error


def _training_rounds(session: Session, run: RunRow) -> dict[int, RoundRow]:
    """Returns a run's finished training rounds by number; of each the row with its result."""
    finished = {"run_id": run.id, "round_kind": "training", "state": "finished"}
    rows = session.scalars(select(RoundRow).filter_by(**finished))
    return {row.number: row for row in rows if row.model_digest is not None}


def _averaged_before(
    archive: RoundArchive,
    log: tuple[LogEntry, ...],
    rows: Mapping[int, RoundRow],
    training: Training,
) -> NDArray[np.float64] | None:
    """Returns the (size,) sum of the models that the last round averages with its own.

    Each is the model that the round after it began with. None where one is no longer kept.

    Raises:
        StoreBroken: one is not the result that the log names.
    """
    total = None
    for number in range(training.rounds - training.average_last, training.rounds - 1):
        following = rows[number + 1].context
        if not archive.holds(following):
            return None
        model = _model_before(archive, following)
        if model_digest(model) != _logged(log, rows[number]).get("result"):
            raise StoreBroken(f"the model after training round {number + 1} is not the logged one")
        own = flatten(model).astype(np.float64)
        total = own if total is None else total + own
    return total


def _require_figures(
    session: Session, run: RunRow, study: Study, roster: Roster, machine: SecAggServer
) -> bool:
    """Checks that the released figures are the ones that follow from the sum.

    Raises:
        StoreBroken: they are others, or are not there.
    """
    kind, _ = kinds_of(study, machine.context.round)
    kept = session.scalars(select(ReleaseRow).filter_by(run_id=run.id, kind=kind)).all()
    try:
        signed_summaries = read_summaries(run.sites_json)
        summaries = {
            site: open_summary(signed_summaries[site], roster.key_of(site))
            for site in machine.survivors
        }
        tables = {site: machine.tables[site] for site in machine.survivors}
        follows = released_json(figures_of(study, summaries, machine.total(), tables))
        said = [json.loads(row.payload_json) for row in kept]
    except (MessageRefused, KeyError, ValueError, TypeError) as error:
        raise StoreBroken(
            f"what the hospitals signed about their noise is damaged: {error}"
        ) from error
    if len(said) != 1 or not _follow(said[0], follows):
        raise StoreBroken(
            "the released figures do not follow from the sum of what the hospitals sent: they "
            "were changed"
        )
    return True


def _follow(said: Mapping[str, Any], follows: Mapping[str, Any]) -> bool:
    """Whether released figures are the ones that follow; an earlier version kept fewer kinds."""
    if not {"figures", "sites", "risks"} <= said.keys():
        return False
    kept = {name: follows.get(name) for name in said}
    kept |= {name: _of_kinds(follows[name], said[name]) for name in ("figures", "risks")}
    return bool(said["figures"]) and _are_alike(said, kept)


def _of_kinds(follows: Mapping[str, Any] | None, said: Mapping[str, Any] | None) -> Any:
    return {name: follows.get(name) for name in said} if follows and said else follows


def _are_alike(said: Any, follows: Any) -> bool:
    """Whether figures are the same, but for what another machine rounds differently."""
    if isinstance(said, float) and isinstance(follows, float):
        return math.isclose(said, follows, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    if isinstance(said, Mapping) and isinstance(follows, Mapping):
        return said.keys() == follows.keys() and all(
            _are_alike(each, follows[name]) for name, each in said.items()
        )
    if isinstance(said, list) and isinstance(follows, list | tuple):
        return len(said) == len(follows) and all(map(_are_alike, said, follows))
    return bool(said == follows)


def _study(session: Session, run: RunRow) -> Study:
    document = session.get_one(StudyRow, run.study_digest).document
    if digest(document) != run.study_digest:
        raise StoreBroken(f"the study of run {run.id} was changed")
    return Study.model_validate_json(document)
