"""A run in MLflow's terms: parameters, tags, metrics and artifacts, as a function of a dossier.

Rules:

1. A released figure is ``released.NAME``, with ``.low`` and ``.high`` of its 95 % interval. One
   that was withheld has no metric, and its reason as a tag.
2. An exact figure is ``exact_simulation_only.NAME``. Only a simulation has any.
3. Nothing else of patients: no count of them but what the study declares.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier, run_json
from compliance.facts.dossier.round_facts import RoundFacts

#: MLflow's word for each state of a run.
STATUSES = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "refused": "FAILED",
    "stopped": "KILLED",
    "interrupted": "KILLED",
    "running": "RUNNING",
}
#: The tags by which a run that was exported before is found again.
RUN_TAG, STUDY_TAG = "collegium.run_id", "collegium.study_digest"
_FORBIDDEN = re.compile(r"[^\w\-. /]")
_MAX_KEY, _MAX_PARAMETER, _MAX_TAG = 250, 6000, 8000


@dataclass(frozen=True, kw_only=True)
class MetricPoint:
    """A value of a metric, at a step (the round; 0 of the whole run) and a time in milliseconds."""

    name: str
    value: float
    step: int
    time: int


@dataclass(frozen=True, kw_only=True)
class MlflowRun:
    """Facts of a run that MLflow is told.

    ``artifacts`` are the contents of files by name; ``started`` and ``ended`` are milliseconds.
    """

    run_id: str
    experiment: str
    status: str
    started: int
    ended: int | None
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: tuple[MetricPoint, ...]
    artifacts: Mapping[str, str] = field(default_factory=dict)


def mlflow_run(dossier: Dossier) -> MlflowRun:
    """Returns what MLflow is told of a run."""
    ended = dossier.ended_at
    at = _milliseconds(ended or dossier.started_at)
    study = json.dumps(dossier.study, indent=1, sort_keys=True) + "\n"
    record = json.dumps(run_json(dossier), indent=1) + "\n"
    return MlflowRun(
        run_id=dossier.run_id,
        experiment=f"collegium/{dossier.study_name}",
        status=STATUSES[dossier.state],
        started=_milliseconds(dossier.started_at),
        ended=None if ended is None else _milliseconds(ended),
        parameters=dict(_parameters(dossier)),
        tags=dict(_tags(dossier)),
        metrics=tuple(
            MetricPoint(name=_key(name), value=value, step=0, time=at)
            for name, value in _figures(dossier)
        )
        + tuple(_rounds(dossier)),
        artifacts={"study.json": study, "run.json": record}
        | ({"model-digest.txt": f"{dossier.model_digest}\n"} if dossier.model_digest else {}),
    )


def _parameters(dossier: Dossier) -> Iterator[tuple[str, str]]:
    yield "seed", str(dossier.seed)
    for name, value in _flat("study", dossier.study):
        yield _key(name), value[:_MAX_PARAMETER]


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yields settings by their dotted names; of a list of named things, by these names."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        for place, one in enumerate(value):
            own = one.get("name", place) if isinstance(one, Mapping) else place
            rest = {k: v for k, v in one.items() if k != "name"} if own != place else one
            yield from _flat(f"{name}.{own}", rest)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)


def _tags(dossier: Dossier) -> Iterator[tuple[str, str]]:
    found = {
        "mlflow.runName": dossier.run_id,
        "mlflow.source.name": "collegium",
        "mlflow.note.content": _note(dossier),
        RUN_TAG: dossier.run_id,
        STUDY_TAG: dossier.study_digest,
        "collegium.study": dossier.study_name,
        "collegium.state": dossier.state,
        "collegium.simulation": json.dumps(dossier.simulation),
        "collegium.test_noise": json.dumps(dossier.test_noise),
        "collegium.privacy_claim": dossier.claim,
        "collegium.log_root": dossier.audit.root,
        "collegium.log_size": str(dossier.audit.size),
        "collegium.model_digest": dossier.model_digest or "",
        "collegium.failure": dossier.failure or "",
        "collegium.sweep": dossier.sweep or "",
    }
    found |= {f"collegium.environment.{name}": said for name, said in dossier.environment.items()}
    for name, figure in _released(dossier):
        if figure.note:
            found[f"collegium.withheld.{name}"] = figure.note
    for name, said in found.items():
        if said:
            yield _key(name), said[:_MAX_TAG]


def _note(dossier: Dossier) -> str:
    """Returns what the figures are, for whoever reads the run in MLflow."""
    exact = (
        " exact_simulation_only.* are exact figures, known because this is a simulation; no real "
        "run has any."
        if dossier.simulation
        else ""
    )
    return (
        f"{dossier.study_title}\n\n{dossier.claim}\n\nreleased.* are figures that were released "
        f"with noise; .low and .high end their 95 % intervals.{exact} Verify them against the "
        "signed log: collegium audit verify."
    )


def _released(dossier: Dossier) -> Iterator[tuple[str, Interval]]:
    """Yields every released figure by its name: of all, of each hospital, of each group."""
    for name, figure in dossier.released.items():
        yield name, figure
    for site in dossier.sites:
        for name, figure in site.released.items():
            yield f"site.{site.site}.{name}", figure
    for group in dossier.groups:
        for name, figure in group.released.items():
            yield f"group.{group.grouping}.{group.group}.{name}", figure


def _figures(dossier: Dossier) -> Iterator[tuple[str, float]]:
    for name, figure in _released(dossier):
        ends = ("", figure.value), (".low", figure.low), (".high", figure.high)
        for end, value in ends:
            if value is not None:
                yield f"released.{name}{end}", float(value)
    if dossier.simulation:
        yield from _exact("exact_simulation_only", dossier.exact)
        for site in dossier.sites:
            yield from _exact(f"exact_simulation_only.site.{site.site}", site.exact)
    for site in dossier.sites:
        signed = site.privacy
        said = {
            "epsilon": signed.epsilon,
            "delta": signed.delta,
            "evaluation_epsilon": signed.evaluation_epsilon,
            "fallback_epsilon": signed.fallback_epsilon,
            "budget_share": signed.budget_share,
        }
        for name, price in said.items():
            if price is not None:
                yield f"privacy.site.{site.site}.{name}", float(price)


def _exact(before: str, figures: Mapping[str, float | None]) -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if value is not None:
            yield f"{before}.{name}", float(value)


def _rounds(dossier: Dossier) -> Iterator[MetricPoint]:
    """Yields what each finished training round took, at its own number."""
    for one in dossier.rounds:
        if one.round_kind == "training" and one.state == "finished" and one.group in (None, 1):
            for name, value in _measured(one):
                yield MetricPoint(
                    name=f"round.{name}",
                    value=float(value),
                    step=one.number,
                    time=_milliseconds(one.opened_at),
                )


def _measured(one: RoundFacts) -> Iterator[tuple[str, float]]:
    found = {"seconds": one.seconds, "bytes_up": one.bytes_up, "bytes_down": one.bytes_down}
    for name, value in found.items():
        if value is not None:
            yield name, value


def _key(name: str) -> str:
    """Returns a name in the letters that MLflow takes.

    >>> _key("study.task.network._target_"), _key("group.age.>=65.auroc")
    ('study.task.network._target_', 'group.age.__65.auroc')
    """
    return _FORBIDDEN.sub("_", name)[:_MAX_KEY]


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
