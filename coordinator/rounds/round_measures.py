"""The measures of finished rounds, from the records: seconds of each step, times and bytes by site.

They are what the coordinator saw; no hospital signed them. The time of an update is that from the
round's opening until it was here, whatever of it was the line and whatever the computation. Rounds
of versions before these times were kept have none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import RoundRow
from coordinator.rounds.attempts.conduct import conduct_from


@dataclass(frozen=True, kw_only=True)
class RoundMeasures:
    """The measures of one finished round, or of one of its groups; ``number`` counts from 0.

    ``seconds`` are from the last attempt's opening to its end, ``steps`` those of its steps,
    ``updates`` those until each hospital's update was here. ``traffic`` is how many bytes each
    hospital was sent and has sent; ``missing`` are the hospitals that are not in the sum.
    """

    round_kind: str
    number: int
    attempt: int
    seconds: float | None
    steps: Mapping[str, float]
    updates: Mapping[str, float]
    traffic: Mapping[str, tuple[int, int]]
    missing: tuple[str, ...]


def round_measures(
    session: Session, run_id: str, round_kind: str | None = None, number: int | None = None
) -> tuple[RoundMeasures, ...]:
    """Returns the measures of a run's finished rounds in order; of one round where it is named.

    Raises:
        ValueError, TypeError: a record has another form.
    """
    query = select(
        RoundRow.round_kind,
        RoundRow.number,
        RoundRow.attempt,
        RoundRow.opened_at,
        RoundRow.closed_at,
        RoundRow.conduct_json,
        RoundRow.dropped_json,
    ).filter_by(run_id=run_id, state="finished")
    if round_kind is not None:
        query = query.filter_by(round_kind=round_kind, number=number)
    found = []
    for kind, at, attempt, opened, closed, text, dropped in session.execute(
        query.order_by(RoundRow.id)
    ):
        conduct = conduct_from(text)
        found.append(
            RoundMeasures(
                round_kind=kind,
                number=at,
                attempt=attempt,
                seconds=None if closed is None else _seconds(opened, closed),
                steps=conduct.steps,
                updates=conduct.updates,
                traffic=conduct.traffic,
                missing=tuple(json.loads(dropped)),
            )
        )
    return tuple(found)


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
