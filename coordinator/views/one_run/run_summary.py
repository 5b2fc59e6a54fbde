"""One line about a run, for lists."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from compliance.estimates.interval import Interval
from compliance.facts.figures import TASK_FIGURES, FigureKind
from coordinator.database.store import RunRow
from coordinator.runs.monitoring.progress import RunProgress
from coordinator.views.one_run.rows import released_figures, study_of
from coordinator.views.one_run.simulated import exact_figures, split_of
from protocol.study.privacy import PatientPrivacy
from protocol.study.variants import question


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One line about a run; ``question`` is the same for runs that can be compared.

    ``split`` is the seed of a simulation's split; 0 where no seed decides it.
    """

    run_id: str
    study_name: str
    question: str
    state: str
    started_at: str
    seed: int
    simulation: bool
    test_noise: bool
    mode: str
    epsilon: float | None
    figure: FigureKind  # the headline of the study's task
    exact: float | None  # simulation only
    released: Interval | None
    sweep: str | None
    split: int = 0
    progress: RunProgress | None = None  # of a run at work on a network


def summary_of(
    session: Session, row: RunRow, state: str, progress: Callable[[str], RunProgress | None]
) -> RunSummary:
    """Returns the line about a run.

    Args:
        session: the consortium's database.
        row: the run.
        state: as it is shown.
        progress: how far a run at work on a network is, by its id.
    """
    study = study_of(session, row)
    figure = TASK_FIGURES[study.task.kind].headline
    released = released_figures(session, row.id, study)
    privacy = study.privacy
    claimed = privacy if isinstance(privacy, PatientPrivacy) and not row.test_noise else None
    return RunSummary(
        run_id=row.id,
        study_name=study.name,
        question=question(study),
        state=state,
        started_at=row.started_at,
        seed=row.seed,
        simulation=row.simulation,
        test_noise=row.test_noise,
        mode=privacy.mode,
        epsilon=claimed.epsilon if claimed else None,
        figure=figure,
        exact=exact_figures(row).get(figure.name),
        released=Interval(**released["figures"][figure.name]) if released else None,
        sweep=row.sweep,
        split=split_of(study) if row.simulation else 0,
        progress=progress(row.id) if state == "running" else None,
    )
