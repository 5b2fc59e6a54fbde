"""Calendars of monitoring studies: a study's finished runs in order, the first its reference."""

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from compliance.estimates.drift.histograms import CountedRelease
from compliance.estimates.drift.series import RATE
from compliance.facts.drift_calendar import DriftCalendar, UncountedRun, compared
from coordinator.database.store import RunRow
from coordinator.rounds.evaluation.released import histograms_from
from coordinator.views.one_run.rows import released_figures, runs_of, study_of, summaries_of
from coordinator.views.one_run.study_line import study_lines
from protocol.errors import WorkspaceRefused
from protocol.study.study import Study
from protocol.transport.privacy_summary import Summary

#: So many digits of the study's digest are the seed of the draws.
_SEED_DIGITS = 12


def calendar_of(session: Session, wanted: str | None = None) -> DriftCalendar:
    """Returns the calendar of a monitoring study.

    Args:
        session: the consortium's database.
        wanted: the beginning of the study's digest, or its name; None for the one that ran last.

    Raises:
        WorkspaceRefused: no such monitoring study has run here.
        StoreBroken: what is stored of it cannot be read.
    """
    for study, rows in _monitored(session):
        if wanted is None or study.digest.startswith(wanted) or study.name == wanted:
            return _calendar(session, study, rows)
    what = "no monitoring study" if wanted is None else f"no monitoring study {wanted!r}"
    raise WorkspaceRefused(f"{what} has run here: collegium monitor run begins one")


def calendars_in(session: Session) -> tuple[DriftCalendar, ...]:
    """Returns the calendar of every monitoring study, the one that ran last first.

    Raises:
        StoreBroken: what is stored of one cannot be read.
    """
    return tuple(_calendar(session, study, rows) for study, rows in _monitored(session))


def calendar_until(session: Session, run: RunRow) -> DriftCalendar | None:
    """Returns a run's calendar as it stood with that run; None of a study that monitors nothing."""
    study = study_of(session, run)
    if study.calendar is None:
        return None
    rows = runs_of(session, run.study_digest)
    own = [row.id for row in rows].index(run.id)
    return _calendar(session, study, rows[: own + 1])


def releases_made(session: Session, study: Study) -> int:
    """Returns how many finished runs a study has here: of a monitoring study, its releases."""
    finished = select(func.count()).select_from(RunRow)
    return session.scalar(finished.filter_by(study_digest=study.digest, state="finished")) or 0


def _monitored(session: Session) -> Iterator[tuple[Study, Sequence[RunRow]]]:
    """Yields each monitoring study that ran here with its runs, oldest first; the newest first."""
    ran = select(RunRow.study_digest).group_by(RunRow.study_digest)
    newest = session.scalars(ran.order_by(func.max(RunRow.started_at).desc())).all()
    lines = study_lines(session)
    for digest in newest:
        if lines[digest].monitors:
            own = runs_of(session, digest)
            yield study_of(session, own[0]), own


def _calendar(session: Session, study: Study, rows: Sequence[RunRow]) -> DriftCalendar:
    """Returns the calendar that these runs of a study make, oldest first."""
    done = [row for row in rows if row.state == "finished"]
    planned, seed = study.calendar or 0, int(study.digest[:_SEED_DIGITS], 16)
    releases = [
        _counted(session, row, number, study) for number, row in enumerate(done[: planned + 1])
    ]
    reference, series = compared(releases, planned=planned, seed=seed)
    signed: dict[str, Summary] = {}
    for row in rows:
        signed |= summaries_of(row)  # of each hospital its newest: one that failed may have none
    return DriftCalendar(
        study_name=study.name,
        study_title=study.title,
        study_digest=study.digest,
        model=None if study.task.pretrained is None else study.task.pretrained.sha256,
        planned=planned,
        epsilon=_most(one.epsilon for one in signed.values()),
        delta=_most(one.delta for one in signed.values()),
        seed=seed,
        rate=RATE,
        reference=reference,
        made_at=tuple(row.started_at for row in done[: planned + 1]),
        series=series,
        budget_left={
            site: None if one.budget_share is None else max(0.0, 1 - one.budget_share)
            for site, one in sorted(signed.items())
        },
        simulation=rows[-1].simulation,
        uncounted=tuple(
            UncountedRun(
                run_id=row.id, started_at=row.started_at, state=row.state, why=row.failure or ""
            )
            for row in rows
            if row.state not in ("finished", "running")
        ),
    )


def _counted(session: Session, row: RunRow, number: int, study: Study) -> CountedRelease:
    kept = released_figures(session, row.id, study) or {}
    return CountedRelease(
        number=number,
        run_id=row.id,
        sites=tuple(sorted(kept.get("sites", {}))),
        histograms=histograms_from(kept),
    )


def _most(figures: Iterable[float | None]) -> float | None:
    return max((one for one in figures if one is not None), default=None)
