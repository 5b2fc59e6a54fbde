"""Facts that only simulations have: exact figures, pooled references, sweeps, killed runs.

No consortium of real hospitals could compute one of them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.facts.figures import TASK_FIGURES, FigureKind
from coordinator.database.store import ReferenceRow, RunRow
from coordinator.views.one_run.rows import study_of, summaries_in
from coordinator.views.one_run.study_line import split_of, study_lines
from protocol.study.study import Study
from protocol.study.variants import question, settings


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A simulation's result with all records in one place; ``mode`` is pooled.

    ``split`` and ``settings`` as in ``RunSummary``.
    """

    name: str
    sweep: str
    question: str
    study_name: str
    study_digest: str
    settings: str
    mode: str
    seed: int
    split: int
    epsilon: float | None
    figure: FigureKind  # the headline of the study's task
    figures: Mapping[str, Any]


def references(session: Session) -> tuple[Reference, ...]:
    """Returns every pooled reference, in the order of the sweep."""
    rows = session.scalars(select(ReferenceRow).order_by(ReferenceRow.id)).all()
    return tuple(_reference(row, study_of(session, row)) for row in rows)


def _reference(row: ReferenceRow, study: Study) -> Reference:
    return Reference(
        name=row.id,
        sweep=row.sweep,
        question=question(study),
        study_name=study.name,
        study_digest=study.digest,
        settings=settings(study),
        mode=row.mode,
        seed=row.seed,
        split=split_of(study),
        epsilon=row.epsilon,
        figure=TASK_FIGURES[study.task.kind].headline,
        figures=json.loads(row.figures_json),
    )


def exact_figures(row: RunRow) -> Mapping[str, Any]:
    """Returns a run's figures over all test patients, and by site; none of a consortium's run."""
    found: dict[str, Any] = json.loads(row.exact_json) if row.exact_json else {}
    return found


def unprotected_runs(session: Session, row: RunRow, study: Study) -> tuple[str, ...]:
    """Returns the simulated runs without privacy of this run's hospitals, begun before it ended.

    Later ones would change the report of a run that is over.
    """
    if not row.simulation:
        return ()
    query = select(RunRow.id, RunRow.study_digest).where(RunRow.simulation, RunRow.id != row.id)
    if row.ended_at is not None:
        query = query.where(RunRow.started_at < row.ended_at)
    others = session.execute(query.order_by(RunRow.id)).all()
    lines = study_lines(session, {digest for _, digest in others})
    own = set(study.site_names)
    return tuple(
        run
        for run, digest in others
        if lines[digest].epsilon is None and own & set(lines[digest].sites)
    )


def sweep_share(session: Session, row: RunRow) -> float | None:
    """Returns what all runs of a run's sweep have booked of a patient's budget, where most."""
    if row.sweep is None:
        return None
    texts = session.scalars(select(RunRow.sites_json).filter_by(sweep=row.sweep))
    shares = [summary.budget_share for text in texts for summary in summaries_in(text).values()]
    return max((share for share in shares if share is not None), default=None)


def killed_runs(session: Session) -> tuple[tuple[RunRow, Study], ...]:
    """Returns the simulated runs that say they run; where nobody is at work, they were killed."""
    rows = session.scalars(select(RunRow).filter_by(state="running", simulation=True)).all()
    return tuple((row, study_of(session, row)) for row in rows)
