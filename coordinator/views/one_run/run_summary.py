"""One line about a run, for lists: many at once, with a few queries for all of them."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import JSON, cast, func, select, type_coerce
from sqlalchemy.orm import Session

from compliance.estimates.interval import Interval
from compliance.facts.figures import FigureKind
from coordinator.database.store import ReleaseRow, RoundRow, RunRow
from coordinator.rounds.run_course import EVALUATION
from coordinator.runs.monitoring.progress import RunProgress
from coordinator.views.one_run.rows import released_figures, study_of
from coordinator.views.one_run.study_line import StudyLine, study_lines
from protocol.errors import StoreBroken

#: So many names stand in one condition of a query.
_NAMES = 500


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One line about a run; ``question`` is the same for runs that can be compared.

    ``settings`` are the same for runs whose studies differ by names, seeds and epsilons alone.
    ``split`` is the seed of a simulation's split; 0 where no seed decides it. ``rounds_done`` are
    those of training that are finished, of ``rounds`` that the study plans. ``folder`` names the
    folder where several are shown.
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
    study_digest: str = ""
    settings: str = ""
    strategy: str = ""
    rounds: int = 0
    rounds_done: int = 0
    hospitals: int = 0
    ended_at: str | None = None
    failure: str | None = None
    folder: str = ""
    model_digest: str | None = None


#: What a line needs of a run's row; roster and summaries of a hundred hospitals are long.
_COLUMNS = (
    RunRow.id, RunRow.revision, RunRow.study_digest, RunRow.state, RunRow.failure,
    RunRow.simulation, RunRow.test_noise, RunRow.seed, RunRow.sweep, RunRow.started_at,
    RunRow.ended_at, RunRow.model_digest,
)  # fmt: skip


class RunLines:
    """The lines about all runs of one database; those of ended runs are remembered.

    A run that has ended is read again only when its row was written again.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, RunSummary]] = {}

    def read(
        self,
        session: Session,
        state: Callable[[str], str],
        progress: Callable[[str], RunProgress | None],
    ) -> tuple[RunSummary, ...]:
        """Returns the line about every run, newest first.

        Args:
            session: the consortium's database.
            state: as it is shown, of what is stored.
            progress: how far a run at work on a network is, by its id.

        Raises:
            StoreBroken: what is stored about a run cannot be read.
        """
        order = RunRow.started_at.desc(), RunRow.id.desc()
        known = self._known
        rows = session.execute(select(*_COLUMNS).order_by(*order)).all()
        missing = [row for row in rows if not _is_current(known.get(row.id), row)]
        try:
            new = {row.id: (row.revision, line) for row, line in _lines(session, missing)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreBroken(
                "a run cannot be read: its record is damaged; restore a backup"
            ) from error
        # Threads may read at once: each leaves what it knows, whole.
        self._known = current = {row.id: new.get(row.id) or known[row.id] for row in rows}
        return tuple(_shown(line, state(line.state), progress) for _, line in current.values())


def _is_current(known: tuple[int, RunSummary] | None, row: Any) -> bool:
    """Whether a run's line says what its row says; of a run under way, never."""
    return known is not None and known[0] == row.revision and row.state != "running"


def _shown(
    line: RunSummary, state: str, progress: Callable[[str], RunProgress | None]
) -> RunSummary:
    if state != "running":
        return line if state == line.state else replace(line, state=state)
    return replace(line, progress=progress(line.run_id))


def _lines(session: Session, rows: Sequence[Any]) -> Iterator[tuple[Any, RunSummary]]:
    """Yields what is read anew of these runs."""
    for first in range(0, len(rows), _NAMES):
        some = rows[first : first + _NAMES]
        names = [row.id for row in some]
        studies = study_lines(session, {row.study_digest for row in some})
        exact, released = _exact(session, names), _released(session, names)
        done = _rounds_done(session, names)
        for row in some:
            study = studies[row.study_digest]
            figures = released.get(row.id)
            if study.takes_back and figures is not None:
                run = session.get_one(RunRow, row.id)
                figures = released_figures(session, row.id, study_of(session, run))
            yield row, _line(row, study, exact.get(row.id), figures, done.get(row.id, 0))


def _line(
    row: Any,
    study: StudyLine,
    exact: str | None,
    released: Mapping[str, Any] | None,
    done: int,
) -> RunSummary:
    figure = study.figure
    return RunSummary(
        run_id=row.id,
        study_name=study.name,
        question=study.question,
        state=row.state,
        started_at=row.started_at,
        seed=row.seed,
        simulation=row.simulation,
        test_noise=row.test_noise,
        mode=study.mode,
        epsilon=None if row.test_noise else study.epsilon,
        figure=figure,
        exact=json.loads(exact).get(figure.name) if exact else None,
        released=Interval(**released["figures"][figure.name]) if released else None,
        sweep=row.sweep,
        split=study.split if row.simulation else 0,
        study_digest=row.study_digest,
        settings=study.settings,
        strategy=study.strategy,
        rounds=study.rounds,
        rounds_done=done,
        hospitals=len(study.sites),
        ended_at=row.ended_at,
        failure=row.failure,
        model_digest=row.model_digest,
    )


def _exact(session: Session, names: Collection[str]) -> dict[str, str | None]:
    query = select(RunRow.id, RunRow.exact_json).where(RunRow.id.in_(names), RunRow.simulation)
    return {name: text for name, text in session.execute(query)}


def _released(session: Session, names: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Returns the figures of each run's last evaluation, which the database takes out."""
    is_file = session.get_bind().dialect.name == "sqlite"
    text = ReleaseRow.payload_json
    whole = type_coerce(text, JSON) if is_file else cast(text, JSON)
    query = select(ReleaseRow.run_id, whole["figures"]).where(
        ReleaseRow.run_id.in_(names), ReleaseRow.kind == EVALUATION
    )
    found: dict[str, Mapping[str, Any]] = {}
    for name, figures in session.execute(query):
        if name in found:
            raise StoreBroken(f"run {name} has several releases of one evaluation")
        found[name] = {"figures": figures}
    return found


def _rounds_done(session: Session, names: Collection[str]) -> dict[str, int]:
    query = select(RoundRow.run_id, func.count(RoundRow.number.distinct())).where(
        RoundRow.run_id.in_(names), RoundRow.round_kind == "training", RoundRow.state == "finished"
    )
    return {name: count for name, count in session.execute(query.group_by(RoundRow.run_id))}
