"""``monitor plan``: the calendar's study, its price, what it would see, and whether that is enough.

Rules:

1. Nothing is counted: forecast and price follow from the study and from public numbers.
2. "Not enough budget to monitor" is an answer, with its reason: where no watched column would
   show a major shift, or a hospital's ledger has not that much left. No plan is written then.
"""

import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from collegium.extras import require_extra
from collegium.studies.authoring.monitoring_study import (
    CalendarWish,
    WatchedModel,
    can_be_scored,
    monitoring_text,
)
from collegium.studies.authoring.template import write_study
from collegium.verification.budget import forecasts
from compliance.facts.formatting import Format, show
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.planning.drift_forecast import (
    MAJOR,
    DriftForecast,
    SmallestDrift,
    WatchedColumn,
    forecast_drift,
)
from compliance.privacy.accounting import epsilon
from compliance.storage.atomic_file import write_named
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.counted import counted
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.task.monitoring import Monitoring
from protocol.study.task.task import prevalence_of
from protocol.vectors.adaptive_clip import without_clip
from protocol.vectors.tensors import Tensors, encode_tensors

NOT_ENOUGH = "not enough budget to monitor"


@dataclass(frozen=True, kw_only=True)
class PlanPlaces:
    """The files of a plan.

    Attributes:
        to: the plan to write; the model's file is written beside it.
        out: a folder of runs: of the model, and of the hospitals whose ledgers are asked.
        run: the run whose model is watched by its scores; None for columns alone.
    """

    to: Path
    out: Path | None = None
    run: str | None = None


def plan_monitoring(
    study: Study,
    wish: CalendarWish,
    places: PlanPlaces,
    console: Console,
    *,
    patients: int | None = None,
) -> dict[str, Any]:
    """Writes a monitoring plan, where monitoring is worth its price; returns what ``--json`` shows.

    Args:
        study: whose model is in use.
        wish: what is watched, and for how much.
        places: where things are.
        console: where people read it.
        patients: how many a release counts, of all hospitals; the declared training patients, if
            None.

    Raises:
        StudyRefused: see ``monitoring_text``; or the run is of another study.
        WorkspaceRefused: no such run, or a file is there already or cannot be written.
    """
    model = None if places.run is None else watched_model(study, places)
    text = monitoring_text(study, wish, model)
    made = read_study(text, "the monitoring plan")
    forecast = forecast_of(made, patients or sum(s.patients for s in study.sites), study)
    found = {**_price(made), **_forecast_json(forecast)}
    lacking = {} if places.out is None else _lacking(places.out, made)
    _tell(made, forecast, found, console)
    why = _why_not(forecast, lacking)
    if why:
        console.print(f"{NOT_ENOUGH}: {why}", style="yellow", markup=False, soft_wrap=True)
        return {"outcome": NOT_ENOUGH, "why": why, "plan": None, **found}
    _write(places.to, text, model)
    console.print(
        f"made   {places.to}: mend patients, then collegium study check {places.to}, and "
        f"collegium monitor run {places.to} --data FOLDER --out FOLDER for the reference",
        markup=False,
        soft_wrap=True,
    )
    return {"outcome": "planned", "why": "", "plan": str(places.to), "name": made.name, **found}


def watched_model(study: Study, places: PlanPlaces) -> WatchedModel:
    """Returns the model that a run of a study released, with the grid of its scores.

    Raises:
        StudyRefused: the run is of another study, or its scores cannot be watched.
        WorkspaceRefused: there is no such run, or it has no model.
    """
    if places.out is None or places.run is None:
        raise WorkspaceRefused("--out is missing: name the folder that holds the run")
    why = can_be_scored(study)
    if why:
        raise StudyRefused(f"{study.name}: {why}; leave --from out to watch columns alone")
    with closing(open_views(places.out)) as views:
        dossier = views.dossier(places.run)
    if dossier.study_digest != study.digest:
        raise StudyRefused(
            f"--from {dossier.run_id} is a run of study {dossier.study_digest[:16]}, and the study "
            f"given is {study.digest[:16]}"
        )
    if dossier.model_digest is None:
        raise WorkspaceRefused(f"run {dossier.run_id} is {dossier.state}: it has no final model")
    model = without_clip(Workspace(places.out).read_snapshot(dossier.model_digest))
    return WatchedModel(run_id=dossier.run_id, data=encode_tensors(model), grid=_grid(study, model))


def _grid(study: Study, model: Tensors) -> Any:
    """Returns the grid around the scores of the study's reference inputs, as its evaluation has."""
    require_extra("silo")
    import numpy as np

    from pipelines.gradients.batch_invariance import RecordOutputs
    from pipelines.networks.networks import build, load_parameters
    from pipelines.networks.reference_inputs import reference_inputs
    from protocol.vectors.score_grid import ScoreGrid

    module = build(study.task, study.cohort, study.seeds.model)
    load_parameters(module, model)
    inputs = reference_inputs(study.cohort, study.seeds.model)
    outputs = RecordOutputs(module, study.cohort.record_form)(inputs)
    return ScoreGrid.around(outputs[:, 0].astype(np.float64))


def forecast_of(made: Study, patients: float, study: Study) -> DriftForecast:
    """Returns what a monitoring study would see.

    Args:
        made: the monitoring study.
        patients: that a release counts, of all hospitals together.
        study: whose model it watches: it may declare a prevalence.
    """
    return forecast_drift(
        tuple(_watched(made, prevalence_of(study.task))),
        patients=patients,
        deviation=pooled_deviation(made),
        releases=made.calendar or 1,
    )


def pooled_deviation(made: Study) -> float:
    """Returns the noise in each pooled count of a release, in patients; 0 without privacy."""
    plans = [PrivacyPlan.at(made, site) for site in made.site_names]
    own = [
        made.evaluation_vector.deviations(
            plan.evaluation.noise_multiplier, made.evaluation.site_share
        )[0]
        for plan in plans
        if plan is not None
    ]
    return math.hypot(*own)


def _watched(made: Study, prevalence: float | None) -> Any:
    task, label = made.task, made.cohort.label
    if not isinstance(task, Monitoring):
        raise StudyRefused(f"{made.name} is no monitoring study")
    features = {column.name for column in made.cohort.features}
    for column in task.columns(made.cohort):
        parts = len(column.parts)
        if column.range is not None:
            yield WatchedColumn(name=column.name, kind="number", parts=parts)
        elif column.name in features or (column.name in label.columns and parts != 2):
            yield WatchedColumn(name=column.name, kind="category", parts=parts)
        elif task.model is not None and column == task.model.column:
            yield WatchedColumn(name=column.name, kind="score", parts=parts)
        else:
            share = prevalence or 0.5
            yield WatchedColumn(name=column.name, kind="label", parts=parts, share=share)


def _price(made: Study) -> dict[str, Any]:
    privacy = made.privacy
    if not isinstance(privacy, PatientPrivacy):
        return {"price": None}
    plan = PrivacyPlan.of(made, privacy)
    one = plan.evaluation.__class__(
        noise_multiplier=plan.evaluation.noise_multiplier, sampling_rate=1.0, steps=1
    )
    return {
        "price": {
            "epsilon": plan.evaluation_epsilon,
            "delta": plan.delta,
            "releases_priced": plan.evaluation.steps,
            "epsilon_of_one_release": epsilon(one, plan.delta),
            "noise_multiplier": plan.evaluation.noise_multiplier,
        }
    }


def _forecast_json(forecast: DriftForecast) -> dict[str, Any]:
    return {
        "patients": forecast.patients,
        "noise_in_each_count": forecast.deviation,
        "smallest_drift_seen": [
            {
                "column": one.column, "kind": one.kind, "psi": one.index, "shift": one.shift,
                "share": one.share,
            }
            for one in forecast.columns
        ],
    }  # fmt: skip


def _lacking(out: Path, made: Study) -> dict[str, str]:
    """Returns the hospitals of a folder whose ledger has not so much left, with what it says."""
    return {site: said["text"] for site, said in forecasts(out, made).items() if not said["fits"]}


def _why_not(forecast: DriftForecast, lacking: Mapping[str, str]) -> str:
    if lacking:
        return "; ".join(f"{site}: {text}" for site, text in lacking.items())
    if forecast.is_enough:
        return ""
    return (
        f"with noise of {forecast.deviation:.0f} in each count and {forecast.patients:,.0f} "
        f"patients, no watched column would show a shift of PSI {MAJOR} in 80 of 100 releases; "
        "watch fewer columns, plan fewer releases, or ask for a larger epsilon"
    )


def _tell(made: Study, forecast: DriftForecast, found: Mapping[str, Any], console: Console) -> None:
    price = found["price"]
    lines = [
        f"{counted(forecast.releases, 'release')} after the reference, of "
        f"{counted(len(forecast.columns), 'column')}; {forecast.patients:,.0f} patients in each"
    ]
    if price is None:
        lines.append("  no differential privacy: a simulation only")
    else:
        lines.append(
            f"  price of all {price['releases_priced']} together: epsilon "
            f"{show(price['epsilon'], Format.EPSILON)} at delta "
            f"{show(price['delta'], Format.SMALL)} for each patient (one alone: "
            f"{show(price['epsilon_of_one_release'], Format.EPSILON)}); noise of "
            f"{forecast.deviation:.1f} in each count"
        )
    lines.append("  the smallest drift that 80 of 100 releases would show:")
    lines += [f"    {one.column}: {drift_words(one)}" for one in forecast.columns]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def drift_words(one: SmallestDrift) -> str:
    """Returns the smallest drift of a column in words."""
    if one.index is None or one.shift is None:
        return "none at all"
    if one.share is None:
        what = "mean" if one.kind == "number" else "mean score"
        return f"{what} by {one.shift:.2f} deviations (PSI {one.index:.2f})"
    what = "prevalence" if one.kind == "label" else "share of a value"
    return f"{what} {one.share:.2f} to {one.share + one.shift:.2f} (PSI {one.index:.2f})"


def _write(to: Path, text: str, model: WatchedModel | None) -> None:
    if model is not None and not to.exists():
        write_named(to.parent / model.file, model.data)
    write_study(to, text)
