"""The JSON of a run, as ``--json`` shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from compliance.estimates.interval import Interval
from compliance.facts.dossier.preregistration import preregistration_outcome
from compliance.facts.dossier.record import Dossier
from compliance.facts.figures import FigureKind
from protocol.transport.privacy_summary import Summary

#: The fields of a summary that say what was compared when a hospital joined.
_SECOND_OPINION = (
    "engine", "torch", "opacus", "engine_distance", "opacus_distance", "opacus_epsilon",
)  # fmt: skip


def run_json(dossier: Dossier) -> dict[str, Any]:
    """Returns the run as the ``--json`` of every command shows it."""
    return {
        "run_id": dossier.run_id,
        "state": dossier.state,
        "failure": dossier.failure,
        "study": {
            "name": dossier.study_name,
            "title": dossier.study_title,
            "digest": dossier.study_digest,
        },
        "seed": dossier.seed,
        "sweep": dossier.sweep,
        "sweep_share": dossier.sweep_share,
        "simulation": dossier.simulation,
        "test_noise": dossier.test_noise,
        "claim": dossier.claim,
        "started_at": dossier.started_at,
        "ended_at": dossier.ended_at,
        "seconds": dossier.seconds,
        "rounds": dossier.rounds_trained,
        "rounds_planned": dossier.rounds_planned,
        "bytes_per_round": _per_round(dossier),
        "model_digest": dossier.model_digest,
        "snapshot": dossier.snapshot,
        "signed": None if dossier.signed is None else asdict(dossier.signed),
        "warnings": list(dossier.warnings),
        "task": dossier.task,
        "figures_are": "NAME is exact, pooled over all test patients: simulation only; "
        "NAME_released is the released one",
        **_figures(dossier.figures.pooled, dossier.exact, dossier.released),
        "operating_points_released": [point.to_json() for point in dossier.operating_points],
        "calibration_released": [point.to_json() for point in dossier.calibration],
        "recalibration_released": (line := dossier.recalibration) and line.to_json(),
        **_global_model(dossier),
        **({} if dossier.robust is None else {"robust": dossier.robust.to_json()}),
        **({} if dossier.course is None else {"course": dossier.course.to_json()}),
        **(
            {}
            if (said := preregistration_outcome(dossier)) is None
            else {"preregistration": said.to_json()}
        ),
        "risks_released": None if dossier.risks is None else asdict(dossier.risks),
        "drift": None if dossier.drift is None else dossier.drift.to_json(),
        "outcomes_released": [outcome.to_json() for outcome in dossier.outcomes],
        **_columns(dossier),
        "epsilon": {site.site: _privacy(site.privacy) for site in dossier.sites},
        "sites": {
            s.site: {
                **{kind.name: s.exact.get(kind.name) for kind in dossier.figures.pooled},
                **{
                    f"{kind.name}_released": _interval(s.released.get(kind.name))
                    for kind in dossier.site_kinds
                },
                "train_patients": s.train_patients,
                "test_patients": s.test_patients,
                "second_opinion": _second_opinion(s.privacy) if s.has_second_opinion else None,
            }
            for s in dossier.sites
        },
        "largest_gaps_released": {
            name: gap.to_json() for name, gap in dossier.largest_gaps.items()
        },
        **_groups(dossier),
        "figures_released": [figure.to_json() for figure in dossier.named_figures],
        "audit": {"root": dossier.audit.root, "size": dossier.audit.size},
        "environment": dossier.environment,
        "reproduction": {
            "how": dossier.reproduction.value,
            "manifest": None if dossier.manifest is None else dossier.manifest.short_json(),
        },
    }


def _global_model(dossier: Dossier) -> dict[str, Any]:
    """Returns the exact figures of the global model where hospitals have their own; else nothing.

    All other figures are of the hospitals' own models.
    """
    if not dossier.has_own_models:
        return {}
    if not dossier.by_global:
        return {"global_model": None}
    sites = {site.site: dict(site.by_global) for site in dossier.sites}
    return {"global_model": {**dossier.by_global, "sites": sites}}


def _columns(dossier: Dossier) -> dict[str, Any]:
    """Returns the figures of a statistics study's columns, exact ones beside; else nothing."""
    if dossier.has_model:
        return {}
    exact = dossier.exact_columns or [None] * len(dossier.columns)
    return {
        "columns": [
            {"released": column.to_json(), "exact": None if own is None else dict(own)}
            for column, own in zip(dossier.columns, exact, strict=True)
        ]
    }


def _groups(dossier: Dossier) -> dict[str, Any]:
    """Returns the figures of groups of patients, and the gaps between groups."""
    return {
        "groups": [
            {
                "grouping": group.grouping,
                "group": group.group,
                "test_patients": group.test_patients,
                **dict(group.exact),
                **{f"{name}_released": asdict(found) for name, found in group.released.items()},
            }
            for group in dossier.groups
        ],
        "group_gaps_released": {
            grouping: {name: None if gap is None else gap.to_json() for name, gap in gaps.items()}
            for grouping, gaps in dossier.group_gaps.items()
        },
        "sites_without_groups": list(dossier.without_groups),
    }


def _privacy(summary: Summary) -> dict[str, Any]:
    """Returns what one hospital's patients pay, as the hospital signed it."""
    return {
        "epsilon": summary.epsilon,
        "delta": summary.delta,
        "unit": summary.unit,
        "mode": summary.mode,
        "evaluation_epsilon": summary.evaluation_epsilon,
        "two_hospitals_epsilon": summary.epsilon_two_hospitals,
        "group_of_two_epsilon": summary.epsilon_group_of_two,
        "group_of_three_epsilon": summary.epsilon_group_of_three,
        "fallback_epsilon": summary.fallback_epsilon,
        "budget_epsilon": summary.budget_epsilon,
        "budget_share": summary.budget_share,
        "run_share": summary.run_share,
    }


def _figures(
    kinds: Sequence[FigureKind],
    exact: Mapping[str, float | None],
    released: Mapping[str, Interval],
) -> dict[str, Any]:
    """Returns the exact and the released figure of each kind."""
    found: dict[str, Any] = {}
    for kind in kinds:
        found[kind.name] = exact.get(kind.name)
        found[f"{kind.name}_released"] = _interval(released.get(kind.name))
    return found


def _second_opinion(summary: Summary) -> dict[str, Any]:
    return {name: getattr(summary, name) for name in _SECOND_OPINION}


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else asdict(interval)


def _per_round(dossier: Dossier) -> dict[str, int] | None:
    """Returns what crosses at one hospital in a training round, in the mean."""
    found = dossier.bytes_per_round
    return None if found is None else {"up": found[0], "down": found[1]}
