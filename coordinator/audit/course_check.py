"""Holds the course of a run against its released figures, the log, and the models of its rounds."""

from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import RoundRow, RunRow, SnapshotRow
from coordinator.rounds.run_course import course_of
from protocol.encoding import parse_canonical
from protocol.errors import StoreBroken
from protocol.log.entry import LogEntry
from protocol.secagg.context import RoundContext
from protocol.secagg.log_proof import result_before
from protocol.study.rounds.course import COURSE, Course, EvaluatedModel, goes_on_from
from protocol.study.study import Study


def require_course(
    session: Session, run: RunRow, study: Study, entries: Iterable[LogEntry]
) -> None:
    """Checks that a run took the course that its released figures give.

    Args:
        session: the consortium's database.
        run: whose course.
        study: its study.
        entries: of the verified log; others than the run's are skipped.

    Raises:
        StoreBroken: the log names another course than the released figures give, or the run went
            on, or ended, with another model.
    """
    logged = [(e.round, e.payload) for e in entries if e.type == COURSE and e.run == run.id]
    if study.evaluation.roll_back is None:
        if logged:
            raise StoreBroken("the log names a course of a run whose study takes nothing back")
        return
    course = course_of(session, run.id, study)
    evaluations = course.evaluations if course is not None else ()
    until = [Course(evaluations=evaluations[: place + 1]) for place in range(len(evaluations))]
    expected = [(study.evaluations.number_after(one.last.rounds), one.digest) for one in until]
    if logged != expected:
        raise StoreBroken("the course of the run is not the one that its released figures give")
    _require_models(
        session, run, study, {one.last.rounds: goes_on_from(study, one) for one in until}
    )


def _require_models(
    session: Session, run: RunRow, study: Study, goes_on: Mapping[int, EvaluatedModel]
) -> None:
    """Requires each round after an evaluation, and the end, to have the model of the course."""
    for row in session.scalars(select(RoundRow).filter_by(run_id=run.id, round_kind="training")):
        before = result_before(study, row.round_kind, row.number)
        if before is None or before[0] != COURSE:
            continue
        found = goes_on.get(row.number)
        if found is None or found.model != _model_of(row):
            raise StoreBroken(
                f"training round {row.number + 1} did not begin with the model from which the "
                "run's course goes on"
            )
    ends = goes_on.get(study.training.rounds)
    for kept in session.scalars(select(SnapshotRow).filter_by(run_id=run.id)):
        if ends is None or (kept.model_digest, kept.round_number) != (ends.model, ends.rounds):
            raise StoreBroken("the model that is kept is not the one that the run's course ends at")


def _model_of(row: RoundRow) -> str:
    return RoundContext.from_json(parse_canonical(row.context_json.encode())).model_hash
