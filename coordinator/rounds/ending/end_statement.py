"""The statement that a run has ended, with what it came to: what hospitals settle by and keep."""

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.estimates.interval import Interval
from coordinator.database.store import RunRow, SnapshotRow, stored_study
from coordinator.rounds.evaluation.released import released_from
from coordinator.rounds.run_course import released_at_end
from protocol.identity.roster import SigningKey
from protocol.transport.run_announcement import MILLIONTHS, ReleasedFigure, RunResult, sign_end


def signed_end(session: Session, run_id: str, key: SigningKey) -> bytes:
    """Returns the statement that a run has ended: the same bytes whenever it is asked for."""
    return sign_end(run_id, key, result_of(session, run_id))


def result_of(session: Session, run_id: str) -> RunResult | None:
    """Returns what a run came to; None where it has no final model or no evaluation."""
    model = session.scalars(select(SnapshotRow.model_digest).filter_by(run_id=run_id)).one_or_none()
    run = session.get(RunRow, run_id)
    if model is None or run is None:
        return None
    payload = released_at_end(session, run_id, stored_study(session, run.study_digest))
    if payload is None:
        return None
    released = released_from(json.loads(payload))
    return RunResult(
        model=model,
        figures=tuple(_figure(name, found) for name, found in released.figures.items()),
    )


def _figure(name: str, released: Interval) -> ReleasedFigure:
    def millionths(value: float | None) -> int | None:
        return None if value is None else round(value * MILLIONTHS)

    return ReleasedFigure(
        name=name,
        value=millionths(released.value),
        low=millionths(released.low),
        high=millionths(released.high),
        note=released.note,
    )
