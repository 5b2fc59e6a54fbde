"""The study that evaluates a released model at a canary's hospitals, derived from its own study.

Columns, transforms, label and network are those by which the model was trained. Hospitals, split,
window of time, promises and evaluation are the canary's for both versions, so that the same
patients are counted, under the same promise. The register counts no evaluation by another study
(``coordinator.rounds.ending.canary_figures``).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from collegium.studies.authoring.statistics_study import yaml_text
from protocol.errors import StudyRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.strategies.registry import strategy_of
from protocol.study.study import PartitionBySkew, Study
from protocol.study.study_file import read_study
from protocol.study.variants import OF_INTERIM, OF_LEARNING

_HEAD = """\
# Evaluates a released model at the hospitals that try a canary: {snapshot}
# Made by collegium models shadow, of study {study}.
# Nothing is trained. Test patients pay privacy.epsilon; training patients pay nothing.
"""
#: Keys that say which form a section has: they stay, also where they are the usual ones.
_FORMS = frozenset({"kind", "method", "mode", "rule", "strategy", "_target_", "collegium"})


@dataclass(frozen=True, kw_only=True)
class ShadowModel:
    """A released model, and how its study names it.

    ``role`` is canary or production; ``file`` and ``sha256`` are of its parameters, ``snapshot``
    and ``run`` say which version it is.
    """

    role: str
    file: str
    sha256: str
    snapshot: str
    run: str


def shadow_text(own: Study, canary: Study, sites: tuple[str, ...], model: ShadowModel) -> str:
    """Returns the text of the study that evaluates a model.

    Args:
        own: the study that the model was trained by.
        canary: that of the canary: its hospitals, split, promises and evaluation count.
        sites: the canary's hospitals.
        model: the model.

    Raises:
        StudyRefused: the model cannot be evaluated so, or beside the canary.
    """
    _require_evaluable(own, canary, sites)
    shared = _short(canary)
    evaluation = _without(shared.get("evaluation", {}), OF_INTERIM)
    pretrained = {
        "file": model.file,
        "sha256": model.sha256,
        "source": f"released by run {model.run} of {own.name}: snapshot {model.snapshot}",
    }
    short = _short(own)
    document = {
        "collegium": 1,
        "name": f"{own.name[:52]}-{model.role}",
        "title": f"Evaluation, {model.role}: {own.title}"[:200],
        "purpose": f"Evaluate a released model ({model.role}) on the test patients of the "
        f"hospitals that try a canary; nothing is trained. {own.purpose.strip()}"[:2000],
        "cohort": _cohort(short["cohort"], shared["cohort"]),
        **_partition(canary, sites),
        "sites": [_site(canary, name) for name in sites],
        "split": shared.get("split", {"method": "keyed_hash"}),
        "task": _without(short["task"], OF_LEARNING) | {"pretrained": pretrained},
        "privacy": _privacy(canary),
        "aggregation": _aggregation(canary, sites),
        "evaluation": evaluation,
        "seeds": {"model": own.seeds.model, "split": canary.seeds.split},
        **({"recipes": short["recipes"]} if own.recipes else {}),
    }
    text = _HEAD.format(snapshot=model.snapshot[:16], study=own.digest[:16]) + yaml_text(document)
    read_study(text, f"the study of the {model.role}")
    return text


def _require_evaluable(own: Study, canary: Study, sites: tuple[str, ...]) -> None:
    """Refuses a model that is not one whole network, or was not made for the canary's patients.

    Raises:
        StudyRefused: says why.
    """
    if len(sites) < 3:
        raise StudyRefused(
            f"the canary is tried at {', '.join(sites)}: a secure sum needs three hospitals"
        )
    if own.task.is_partly_frozen:
        raise StudyRefused(
            f"{own.name}: its released model holds the trained layers alone, and evaluation needs "
            "the whole network"
        )
    if strategy_of(own.training).personal is not None or own.training.kept_layers:
        raise StudyRefused(
            f"{own.name}: with {own.training.strategy} each hospital serves a model of its own, "
            "which no common file holds"
        )
    others = [
        key
        for key, one, other in (
            ("cohort.label", own.cohort.label, canary.cohort.label),
            ("cohort.patient_key", own.cohort.patient_key, canary.cohort.patient_key),
            ("task.kind", own.task.kind, canary.task.kind),
            ("split", own.split, canary.split),
            ("seeds.split", own.seeds.split, canary.seeds.split),
        )
        if one != other
    ]
    if others:
        raise StudyRefused(
            f"{own.name} and {canary.name} have another {', '.join(others)}: one model's test "
            "patients may be those that the other was trained on, and nothing is compared"
        )
    is_dealt = canary.partition is not None and isinstance(canary.partition.how, PartitionBySkew)
    if is_dealt and set(sites) != set(canary.site_names):
        raise StudyRefused(
            f"{canary.name}: its records are dealt to all its hospitals at random; among fewer "
            "they would be dealt otherwise, and training patients would be tested"
        )


def _partition(canary: Study, sites: tuple[str, ...]) -> dict[str, Any]:
    """Returns a simulation's partition, of which other hospitals' records are left out."""
    if canary.partition is None:
        return {}
    said = canary.partition.model_dump(mode="json", exclude_defaults=True)
    if set(sites) != set(canary.site_names):
        said["how"]["others"] = "leave_out"  # by a column: others are refused above
    return {"partition": said}


def _cohort(own: dict[str, Any], canary: dict[str, Any]) -> dict[str, Any]:
    """Returns a version's own contract, of the time whose patients the canary's study tests."""
    return _without(own, ("window",)) | {key: canary[key] for key in ("window",) if key in canary}


def _site(study: Study, name: str) -> dict[str, Any]:
    """Returns a site with its promise to test patients."""
    site, most = study.site(name), study.evaluation_epsilon
    said = site.model_dump(mode="json", exclude_defaults=True)
    for key in ("sampling_rate", "local_steps", "epsilon"):
        said.pop(key, None)
    own = study.evaluation_epsilon_of(name)
    return said | ({} if own == most else {"epsilon": own})


def _privacy(study: Study) -> dict[str, Any]:
    """Returns what the study's evaluation promises, as a whole study's privacy."""
    privacy = study.privacy
    if not isinstance(privacy, PatientPrivacy):
        return {"mode": "none", "sampling_rate": 1.0}
    return {
        "mode": "per_site",
        **({"unit": privacy.unit} if privacy.unit != "patient" else {}),
        "epsilon": study.evaluation_epsilon,
        "delta": privacy.delta,
        "sampling_rate": 1.0,
    }


def _aggregation(study: Study, sites: tuple[str, ...]) -> dict[str, Any]:
    said = study.aggregation.model_dump(mode="json", exclude_defaults=True)
    said.pop("spare_draws", None)
    if set(sites) != set(study.site_names):
        said.pop("threshold", None)
        if study.aggregation.min_sites > len(sites):
            said["min_sites"] = len(sites)
    return said or {"colluders": study.aggregation.colluders}


def _without(section: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in keys}


def _short(study: Study) -> dict[str, Any]:
    """Returns a study as people write it: without what is usual, but with the forms of sections."""
    whole = study.model_dump(mode="json")
    told: dict[str, Any] = _told(whole, study.model_dump(mode="json", exclude_defaults=True))
    return told


def _told(whole: Any, short: Any) -> Any:
    """Returns what is told of a value: ``short`` of it, and in it the forms of ``whole``."""
    if isinstance(whole, dict) and isinstance(short, dict):
        return {
            key: _told(value, short[key]) if key in short else value
            for key, value in whole.items()
            if key in short or key in _FORMS
        }
    if isinstance(whole, list) and isinstance(short, list) and len(whole) == len(short):
        return [_told(one, other) for one, other in zip(whole, short, strict=True)]
    return short
