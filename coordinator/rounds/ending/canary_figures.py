"""The figures by which a canary is compared with the version in production at its hospitals.

They are released by runs of studies that evaluate a given model and train nothing. Two such runs
are compared where the same patients were counted under the same promise: the same hospitals
answered, and their studies have the same label, split, privacy and evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.estimates.interval import Interval
from compliance.governance.models.comparison import CanaryFigures
from compliance.governance.models.stages import ModelLine
from coordinator.database.store import RunRow, stored_study
from coordinator.governance.models.snapshots import signed_snapshot
from coordinator.rounds.run_course import evaluations_of
from protocol.study.study import Study


@dataclass(frozen=True, kw_only=True)
class _Evaluated:
    """One finished run that evaluated a given model."""

    run: str
    study: Study
    survivors: tuple[str, ...]
    headline: Interval

    def is_like(self, other: "_Evaluated") -> bool:
        """Whether it counted the same patients under the same promise as another."""
        return self._counted == other._counted

    @property
    def _counted(self) -> tuple[object, ...]:
        study = self.study
        return (
            self.survivors,
            study.sites,
            study.partition,
            study.task.kind,
            study.cohort.label,
            study.cohort.patient_key,
            study.split,
            study.seeds.split,
            study.privacy,
            study.evaluation,
        )


def canary_figures(session: Session, line: ModelLine) -> CanaryFigures | None:
    """Returns the newest figures of a line's canary, and of its production; None without a canary.

    Only runs count that began after the canary did, at just its hospitals.
    """
    state, since = line.state, line.canary_since
    if state.canary is None or since is None:
        return None
    found = CanaryFigures(
        version=state.canary, sites=state.canary_sites, compares=state.production is not None
    )
    own = next(_evaluations(session, state.canary, state.canary_sites, since), None)
    if own is None:
        return found
    other = None
    if state.production is not None:
        beside = _evaluations(session, state.production, state.canary_sites, since)
        other = next((one for one in beside if one.is_like(own)), None)
    return CanaryFigures(
        version=state.canary,
        sites=state.canary_sites,
        compares=found.compares,
        canary=own.headline,
        production=None if other is None else other.headline,
        runs=(own.run,) if other is None else (own.run, other.run),
    )


def _evaluations(
    session: Session, version: str, sites: tuple[str, ...], since: str
) -> Iterator[_Evaluated]:
    """Yields the runs that evaluated a version at just these hospitals, the newest first."""
    model = signed_snapshot(session, version).snapshot.model
    query = (
        select(RunRow.id, RunRow.study_digest)
        .filter_by(model_digest=model, state="finished", test_noise=False)
        .where(RunRow.started_at >= since)
        .order_by(RunRow.started_at.desc(), RunRow.id.desc())
    )
    for run, digest in session.execute(query):
        study = stored_study(session, digest)
        if study.trains or not study.has_model or study.site_names != sites:
            continue
        for one in evaluations_of(session, run, study):
            yield _Evaluated(run=run, study=study, survivors=one.survivors, headline=one.headline)
