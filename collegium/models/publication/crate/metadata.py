"""The description of a crate: RO-Crate 1.1, Process Run Crate 0.5, Federated Learning 0.1."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collegium.models.publication.crate import files
from collegium.models.publication.crate.actions import (
    actions,
    digest_terms,
    metric_terms,
    metrics,
    round_results,
)
from collegium.models.publication.crate.agents import CONSORTIUM, agents, software, software_name
from collegium.models.publication.crate.entity import (
    METADATA,
    ROOT,
    Entity,
    entity,
    refer,
    refer_to,
)
from collegium.models.publication.crate.evidence import CrateEvidence
from collegium.models.publication.crate.records import access_terms, promises_of, records_of
from collegium.models.publication.croissant import CROISSANT
from protocol.encoding import digest

_RO_CRATE, _CONTEXT = "https://w3id.org/ro/crate/1.1", "https://w3id.org/ro/crate/1.1/context"
_PROCESS = "https://w3id.org/ro/wfrun/process/0.5"
_LEARNING = (
    "https://esciencelab.org.uk/federated-learning-ro-crate-profile/federated-learning-profile.html"
)
#: Terms of Workflow Run RO-Crate, which RO-Crate 1.1 does not have.
_MORE = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
_LICENCE, _SPDX = "#licence", "https://spdx.org/licenses/"
#: The parameters of an exported model, and what documents a model.
_MODEL = "model/model.safetensors"
_CARDS = (files.CARD, "model/MODEL_CARD.md", "model/mlbom.json")


@dataclass(frozen=True, kw_only=True)
class CrateTerms:
    """Terms that no folder of runs says: web addresses, by hospital, consortium or collegium."""

    urls: Mapping[str, str] = field(default_factory=dict)


def crate_metadata(
    found: CrateEvidence, held: Sequence[files.CrateFile], terms: CrateTerms
) -> bytes:
    """Returns the file that describes a crate.

    Args:
        found: the run.
        held: all other files of the crate.
        terms: what the folder does not say.
    """
    names = [one.path for one in held]
    model = next((name for name in (_MODEL, files.SNAPSHOT) if name in names), None)
    done = actions(found, software_name(terms.urls), model, names)
    licence = _licence(found)
    graph = [
        entity(
            METADATA, "CreativeWork", conformsTo=refer(_RO_CRATE), about=refer(ROOT)
        ),
        _root(found, names, done, model),
        *_profiles(found, model),
        licence,
        *(_file(one, found, model, names) for one in held),
        entity(CROISSANT, "CreativeWork", name="Croissant", version="1.1"),
        *records_of(found),
        *done,
        *round_results(found),
        *metrics(found.dossier),
        *promises_of(found),
        *agents(found, terms.urls),
        *software(found, terms.urls),
        *access_terms(),
        *metric_terms(found.dossier),
        *digest_terms(),
    ]  # fmt: skip
    document = {"@context": [_CONTEXT, _MORE], "@graph": graph}
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _root(found: CrateEvidence, names: list[str], done: list[Entity], model: str | None) -> Entity:
    dossier = found.dossier
    return entity(
        ROOT, "Dataset",
        name=f"{dossier.study_title}: run {dossier.run_id}",
        description=f"{dossier.study_purpose.strip()} {dossier.claim}",
        datePublished=(dossier.ended_at or dossier.started_at)[:10],
        license=refer(str(_licence(found)["@id"])),
        author=refer(CONSORTIUM),
        publisher=refer(CONSORTIUM),
        identifier=[f"run:{dossier.run_id}", f"study:{dossier.study_digest}"],
        conformsTo=refer(*(str(one["@id"]) for one in _profiles(found, model))),
        hasPart=[*refer(*names), *refer_to(records_of(found))],
        mainEntity=refer(*([] if model is None else [model])),
        mentions=refer_to(done),
    )  # fmt: skip


def _profiles(found: CrateEvidence, model: str | None) -> list[Entity]:
    """Returns the profiles; Federated Learning only where a run trained a model."""
    profiles = [entity(_PROCESS, "CreativeWork", name="Process Run Crate", version="0.5")]
    if model is not None and found.dossier.trains:
        name = "Federated Learning RO-Crate Profile"
        profiles.append(entity(_LEARNING, "CreativeWork", name=name, version="0.1"))
    return profiles


def _licence(found: CrateEvidence) -> Entity:
    release = found.study.release
    if release is None:
        return entity(
            _LICENCE, "CreativeWork",
            name="No licence declared",
            description="The study declares no terms of use: ask the consortium.",
        )  # fmt: skip
    is_spdx = " " not in release.licence
    return entity(
        f"{_SPDX}{release.licence}" if is_spdx else _LICENCE, "CreativeWork",
        name=release.licence,
        description=f"As the study declares; permitted use: {release.permitted_use}",
    )  # fmt: skip


def _file(
    one: files.CrateFile, found: CrateEvidence, model: str | None, names: list[str]
) -> Entity:
    is_model = one.path == model
    cards = [name for name in _CARDS if name in names]
    return entity(
        one.path, "File",
        name=one.name,
        description=one.description,
        encodingFormat=one.encoding,
        contentSize=str(len(one.data)),
        sha256=digest(one.data),
        conformsTo=refer(one.schema) if one.schema else None,
        license=refer(str(_licence(found)["@id"])) if is_model else None,
        identifier=f"tensor-digest:{found.side.model}" if is_model else None,
        subjectOf=refer(*cards) if is_model else None,
    )  # fmt: skip
