"""Facts that gates judge a model's version by: its run's released figures, and attacks on it."""

import json
from typing import Any

from sqlalchemy.orm import Session

from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import largest_gap
from compliance.facts.figures import TASK_FIGURES, FigureKind
from compliance.governance.models.gates import GateFacts
from compliance.governance.models.stages import ModelLine
from coordinator.database.store import stored_study
from coordinator.rounds.ending.canary_figures import canary_figures
from coordinator.rounds.ending.red_teams import red_teams_of
from coordinator.rounds.evaluation.released import released_from
from coordinator.rounds.run_course import released_at_end
from protocol.study.study import Study
from protocol.transport.snapshot import SignedSnapshot, Snapshot

#: The noise of a promise that protects patients; see ``Summary.noise``.
_PROTECTS = "exact"


def gate_facts(
    session: Session,
    signed: SignedSnapshot,
    production: SignedSnapshot | None,
    line: ModelLine | None = None,
) -> GateFacts:
    """Returns what a version is judged by.

    Args:
        session: the consortium's database.
        signed: the version.
        production: the version in production; None where none is. It is compared where both are of
            one task.
        line: the line whose canary the version may be; None of a version in no line.
    """
    snapshot = signed.snapshot
    study = study_of_snapshot(session, snapshot)
    kind = TASK_FIGURES[study.task.kind].headline
    other, is_canary = None, line is not None and line.state.canary == snapshot.digest
    if production is not None:
        of = study_of_snapshot(session, production.snapshot)
        other = headline_of(production.snapshot, kind) if of.task.kind == study.task.kind else None
    return GateFacts(
        signatures=len(signed.signatures),
        quorum=snapshot.quorum,
        protects=all(one.noise == _PROTECTS for one in snapshot.privacy),
        figure=kind.title,
        headline=headline_of(snapshot, kind),
        higher_is_better=kind.higher_is_better,
        production=other,
        **_gap(session, snapshot, study, kind),
        attacks=red_teams_of(session, snapshot.run),
        canary=canary_figures(session, line) if line is not None and is_canary else None,
    )


def study_of_snapshot(session: Session, snapshot: Snapshot) -> Study:
    """Returns the study of a snapshot's run."""
    return stored_study(session, snapshot.study)


def headline_of(snapshot: Snapshot, kind: FigureKind) -> Interval | None:
    """Returns the released headline of a snapshot; None where it has none of that name."""
    found = [one.to_interval() for one in snapshot.figures if one.name == kind.name]
    return Interval(**found[0]) if found else None


def _gap(session: Session, snapshot: Snapshot, study: Study, kind: FigureKind) -> dict[str, Any]:
    """Returns the facts about the largest gap between hospitals; empty where none is known.

    It is of the headline, or of a hospital's own figure: ``gap_figure`` says which. Beside it
    stand the hospitals whose figures are not known: the gap of all may be larger.
    """
    payload = released_at_end(session, snapshot.run, study)
    if payload is None:
        return {}
    sites = released_from(json.loads(payload)).sites
    for figure in (kind, *TASK_FIGURES[study.task.kind].site):
        known = {site: of[figure.name] for site, of in sites.items() if figure.name in of}
        gap = largest_gap(known)
        if gap is not None:
            lacking = {*study.site_names} - {a for a, one in known.items() if one.value is not None}
            return {
                "gap": gap.value,
                "gap_figure": figure.title,
                "gap_without": tuple(sorted(lacking)),
            }
    return {}
