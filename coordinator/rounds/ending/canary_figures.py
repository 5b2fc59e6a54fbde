"""The figures by which a canary is compared with the version in production at its hospitals.

They are released by runs of studies that evaluate a given model and train nothing. Rules:

1. A run counts where its study takes the version as it was trained, with the columns, network and
   transforms of its own study, and tests the patients of the canary's study under its promise.
   Whoever writes that study could else make either version look better or worse than it is.
2. Two runs are compared where the same patients were counted under the same promise: the same
   hospitals answered, and their studies have the same label, split, privacy and evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.estimates.interval import Interval
from compliance.governance.models.comparison import CanaryFigures
from compliance.governance.models.stages import ModelLine
from coordinator.database.store import RunRow, stored_study
from coordinator.governance.models.snapshots import signed_snapshot
from coordinator.rounds.run_course import evaluations_of
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.variants import OF_INTERIM, OF_LEARNING


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
    tested = stored_study(session, signed_snapshot(session, state.canary).snapshot.study)
    found = CanaryFigures(
        version=state.canary, sites=state.canary_sites, compares=state.production is not None
    )
    own = next(_evaluations(session, state.canary, tested, state.canary_sites, since), None)
    if own is None:
        return found
    other = None
    if state.production is not None:
        beside = _evaluations(session, state.production, tested, state.canary_sites, since)
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
    session: Session, version: str, tested: Study, sites: tuple[str, ...], since: str
) -> Iterator[_Evaluated]:
    """Yields the runs that evaluated a version at just these hospitals, the newest first.

    Args:
        session: the consortium's database.
        version: the digest of its snapshot.
        tested: the canary's own study, whose test patients count.
        sites: the canary's hospitals, sorted.
        since: when the canary began.
    """
    snapshot = signed_snapshot(session, version).snapshot
    model, own = snapshot.model, stored_study(session, snapshot.study)
    query = (
        select(RunRow.id, RunRow.study_digest)
        .filter_by(model_digest=model, state="finished", test_noise=False)
        .where(RunRow.started_at >= since)
        .order_by(RunRow.started_at.desc(), RunRow.id.desc())
    )
    for run, digest in session.execute(query):
        study = stored_study(session, digest)
        if study.trains or not study.has_model or tuple(sorted(study.site_names)) != sites:
            continue
        if _scoring(study) != _scoring(own) or _testing(study, sites) != _testing(tested, sites):
            continue
        for one in evaluations_of(session, run, study):
            yield _Evaluated(run=run, study=study, survivors=one.survivors, headline=one.headline)


def _scoring(study: Study) -> dict[str, Any]:
    """Returns what a study says of how a record becomes a score."""
    return {
        "cohort": study.cohort.model_dump(mode="json", exclude={"window"}),
        "task": study.task.model_dump(mode="json", exclude=set(OF_LEARNING)),
        "recipes": [one.model_dump(mode="json") for one in study.recipes],
    }


def _testing(study: Study, sites: tuple[str, ...]) -> dict[str, Any]:
    """Returns what a study says of who is tested at some hospitals, and what they are promised."""
    said = study.model_dump(mode="json", include={"split", "partition"})
    if said["partition"] is not None:  # a study of the canary's hospitals leaves others out
        said["partition"]["how"].pop("others", None)
    privacy = study.privacy
    promised = (privacy.unit, privacy.delta) if isinstance(privacy, PatientPrivacy) else None
    return said | {
        "seed": study.seeds.split,
        "window": getattr(study.cohort, "window", None),
        "evaluation": study.evaluation.model_dump(mode="json", exclude=set(OF_INTERIM)),
        "sites": [
            (site, study.site(site).records, study.site(site).value) for site in sorted(sites)
        ],
        "promised": promised,
        "epsilon": [study.evaluation_epsilon_of(site) for site in sorted(sites)],
    }
