"""The inventory of a released model: a CycloneDX 1.6 ML-BOM, as JSON.

It names the model with its card, the records that each hospital trained on, the software and the
forms, each by digest where there is one. Equal releases give equal inventories, but for the forms
and the software that wrote them.
"""

import uuid
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from collegium.models.exports.released import ReleasedModel
from compliance.estimates.interval import Interval
from compliance.facts.dossier import SiteFacts
from compliance.facts.named_figures import NamedFigure, Whose
from protocol.study.task.task import output_of

_APPROACH = "supervised"
#: Names in the environment of a run that are no distributions.
_NO_PACKAGE = {"python"}


def ml_bom(released: ReleasedModel, files: Mapping[str, str]) -> dict[str, Any]:
    """Returns the inventory.

    Args:
        released: the model.
        files: the SHA-256 of the folder's files by path, as far as they are written.
    """
    snapshot, dossier = released.snapshot, released.dossier
    reference = f"model:{snapshot.model}"
    datasets = [_dataset(one) for one in dossier.sites]
    software = list(_software(dossier.environment))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, snapshot.digest)}",
        "version": 1,
        "metadata": {
            "timestamp": snapshot.created,
            "tools": {"components": [_own()]},
            "component": _model(released, reference, files),
        },
        "components": [*datasets, *software, *_forms(files)],
        "dependencies": [
            {
                "ref": reference,
                "dependsOn": [one["bom-ref"] for one in (*datasets, *software)],
            }
        ],
    }


def _model(released: ReleasedModel, reference: str, files: Mapping[str, str]) -> dict[str, Any]:
    snapshot = released.snapshot
    found: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": released.study.name,
        "version": snapshot.digest[:12],
        "description": released.dossier.study_title,
        "hashes": [_hash(files["model.safetensors"])] if "model.safetensors" in files else [],
        "modelCard": _card(released),
        "properties": [
            {"name": "collegium:snapshot", "value": snapshot.digest},
            {"name": "collegium:tensor-digest", "value": snapshot.model},
            {"name": "collegium:run", "value": snapshot.run},
            {"name": "collegium:study", "value": snapshot.study},
            *({"name": "collegium:parent", "value": parent} for parent in snapshot.parents),
        ],
    }
    if snapshot.licence:
        found["licenses"] = [{"license": {"name": snapshot.licence}}]
    return found


def _card(released: ReleasedModel) -> dict[str, Any]:
    study, dossier = released.study, released.dossier
    figures = [one for one in dossier.named_figures if one.at is None]
    metrics = [metric for one in figures if (metric := _metric(one)) is not None]
    considerations: dict[str, Any] = {
        "useCases": [released.snapshot.permitted_use or "none declared"],
        "technicalLimitations": [dossier.claim, *dossier.warnings],
    }
    return {
        "modelParameters": {
            "approach": {"type": _APPROACH},
            "task": study.task.kind,
            "architectureFamily": study.task.network.target,
            "modelArchitecture": study.task.network.target,
            "datasets": [{"ref": _dataset(one)["bom-ref"]} for one in dossier.sites],
            "inputs": [{"format": f"float32 {list(study.cohort.record_form)}"}],
            "outputs": [{"format": output_of(study.task)}],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": considerations,
    }


def _metric(one: NamedFigure) -> dict[str, Any] | None:
    found: Interval = one.found
    if found.value is None:
        return None
    metric: dict[str, Any] = {"type": one.figure, "value": f"{found.value:.6g}"}
    if one.whose is not Whose.ALL:
        metric["slice"] = one.part
    if found.low is not None and found.high is not None:
        bounds = {"lowerBound": f"{found.low:.6g}", "upperBound": f"{found.high:.6g}"}
        metric["confidenceInterval"] = bounds
    return metric


def _dataset(site: SiteFacts) -> dict[str, Any]:
    """Returns a hospital's records, which are not in the folder.

    No digest of them leaves a hospital: of few patients it could be guessed. A frozen cohort has a
    name of its own, drawn at random, which the hospital signed.
    """
    frozen = site.privacy.cohort
    found: dict[str, Any] = {
        "type": "data",
        "bom-ref": f"records:{site.site}",
        "name": f"records of {site.site}",
        "description": f"{site.declared_patients} patients declared; they stay in the hospital",
        "data": [
            {
                "type": "dataset",
                "name": f"records of {site.site}",
                "classification": "health records",
                "sensitiveData": ["health data of patients"],
                "governance": {"owners": [{"organization": {"name": site.site}}]},
            }
        ],
    }
    if frozen:
        found["properties"] = [{"name": "collegium:frozen-cohort", "value": frozen}]
    return found


def _software(environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yields the packages that the run was made with."""
    for name, version in sorted(environment.items()):
        if name in _NO_PACKAGE or " " in name:
            continue
        found: dict[str, Any] = {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
        }
        if licence := _licence(name):
            found["licenses"] = [{"license": {"name": licence}}]
        yield found


def _licence(package: str) -> str:
    """Returns an installed package's licence as it states it; empty where it does not."""
    try:
        said = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return ""
    for name in ("License-Expression", "License"):
        if name in said and said[name]:
            return said[name].partition("\n")[0][:100]
    return ""


def _forms(files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for path, value in sorted(files.items()):
        if path.startswith(("models/", "configs/")):
            yield {"type": "file", "bom-ref": f"file:{path}", "name": path,
                   "hashes": [_hash(value)]}  # fmt: skip


def _own() -> dict[str, Any]:
    return {"type": "application", "name": "collegium", "version": metadata.version("collegium")}


def _hash(value: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": value}
