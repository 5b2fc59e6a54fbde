"""The files of a crate: documents of the run as they are kept, signed or released."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from collegium.models.publication.crate.evidence import MANIFEST, CrateEvidence
from collegium.models.publication.croissant import (
    CROISSANT,
    DatasetTerms,
    croissant_bytes,
    study_dataset,
)
from compliance.facts.dossier.preregistration import preregistration_outcome
from compliance.reports.kinds import KINDS
from compliance.reports.one_run.performance_table import performance_table
from compliance.reports.renderers import rendered, wide_csv

JSON, CSV, HTML, TEXT = "application/json", "text/csv", "text/html", "text/plain"
STUDY, ROSTER, SNAPSHOT, CARD = "study.json", "roster.json", "snapshot.json", "model-card.html"
MANIFEST_FILE, COURSE, LOG, KEY = "manifest.json", "course.json", "log.json", "coordinator.pub"
COHORT, FIGURES, TABLE = "croissant.json", "figures.json", "figures.csv"
PREREGISTRATION = "preregistration.json"
STATEMENT, REPORT = "privacy-statement.html", "study-dossier.html"
#: The proof of each entry of the log, by what it proves.
PROOFS = {MANIFEST: "manifest.tlog", "snapshot": "snapshot.tlog", "run": "run.tlog"}


@dataclass(frozen=True, kw_only=True)
class CrateFile:
    """One file of a crate, with what its description says.

    ``schema`` names a specification that the file conforms to; empty where there is none.
    """

    path: str
    data: bytes
    name: str
    description: str
    encoding: str
    schema: str = ""


def crate_files(found: CrateEvidence) -> tuple[CrateFile, ...]:
    """Returns the files of a run's crate, in the order in which they are described."""
    return (
        *_plan(found),
        *_outcome(found),
        *_reports(found),
        *_evidence(found),
    )


def _plan(found: CrateEvidence) -> Iterator[CrateFile]:
    yield CrateFile(
        path=STUDY, data=found.study.canonical_bytes, name="Study", encoding=JSON,
        description="The plan of the run, as hospitals approved it; SHA-256 of these bytes is the "
        "study's digest.",
    )  # fmt: skip
    if found.manifest is not None:
        yield CrateFile(
            path=MANIFEST_FILE, data=found.manifest.canonical_bytes, name="Manifest", encoding=JSON,
            description="Seeds, engines, software and platform that the result follows from, as "
            "far as they are no secret.",
        )  # fmt: skip
    terms = DatasetTerms(published=(found.dossier.ended_at or "")[:10])
    yield CrateFile(
        path=COHORT, data=croissant_bytes(study_dataset(found.study, terms)),
        name="Cohort", encoding="application/ld+json", schema=CROISSANT,
        description="The columns, labels and exclusions that the study declares, as Croissant; no "
        "records.",
    )  # fmt: skip
    yield CrateFile(
        path=ROSTER, data=found.roster.canonical_bytes, name="Roster", encoding=JSON,
        description="The public keys of the hospitals and of the coordinator.",
    )  # fmt: skip


def _outcome(found: CrateEvidence) -> Iterator[CrateFile]:
    dossier = found.dossier
    if found.signed is not None:
        yield CrateFile(
            path=SNAPSHOT, data=found.signed.to_bytes(), name="Snapshot of the model",
            encoding=JSON,
            description="The statement of the model that the coordinator and hospitals signed: "
            "digests of its parameters and of what it came from, promises to patients, figures.",
        )  # fmt: skip
    yield CrateFile(
        path=COURSE, data=_json(_course(found)), name="Course", encoding=JSON,
        description="What each round came to, by digest, and the hospitals in its sum.",
    )  # fmt: skip
    yield CrateFile(
        path=FIGURES, data=_json(_figures(found)), name="Released figures", encoding=JSON,
        description="Every released figure with its 95 % interval; exact ones of a simulation are "
        "left out.",
    )  # fmt: skip
    if dossier.has_model and dossier.released:
        yield CrateFile(
            path=TABLE, data=wide_csv(performance_table(dossier)).encode(), encoding=CSV,
            name="Table of performance",
            description="The released figures of all test patients, hospitals and groups.",
        )  # fmt: skip
    outcome = preregistration_outcome(dossier)
    if outcome is not None:
        yield CrateFile(
            path=PREREGISTRATION, data=_json(outcome.to_json()), encoding=JSON,
            name="What came of the preregistration",
            description="Hypotheses and criteria of the study, what the released figures decide of "
            "them, and the deviations.",
        )  # fmt: skip


def _course(found: CrateEvidence) -> dict[str, Any]:
    return {
        "run": found.dossier.run_id,
        "how": found.dossier.reproduction.value,
        "rounds": [
            {"round": step.name, "result": step.result, "hospitals": list(step.sites)}
            for step in found.side.steps
        ],
        "model": found.side.model,
    }


def _figures(found: CrateEvidence) -> dict[str, Any]:
    dossier = found.dossier
    return {
        "run": dossier.run_id,
        "study": dossier.study_digest,
        "claim": dossier.claim,
        "warnings": list(dossier.warnings),
        "figures": [figure.to_json() for figure in dossier.named_figures],
        "columns": [column.to_json() for column in dossier.columns],
    }


def _reports(found: CrateEvidence) -> Iterator[CrateFile]:
    kinds = {"privacy-statement": STATEMENT, "study-dossier": REPORT}
    if found.dossier.has_model and found.signed is not None:
        kinds["model-card"] = CARD
    for name, path in kinds.items():
        document = KINDS[name].make(found.subject)
        yield CrateFile(
            path=path, data=rendered(document, "html"), name=document.title, encoding=HTML,
            description=f"The report {name} of the run, made after verifying its records.",
        )  # fmt: skip


def _evidence(found: CrateEvidence) -> Iterator[CrateFile]:
    log = found.dossier.audit
    entries = [
        {"entry": one.index, "time": one.time, "type": one.type, "payload": one.payload,
         "leaf": one.leaf_hash}
        for one in log.entries
    ]  # fmt: skip
    data = _json({"size": log.size, "root": log.root, "head": log.checkpoint, "entries": entries})
    yield CrateFile(
        path=LOG, data=data, name="Entries of the log", encoding=JSON,
        description="The entries of the consortium's log about the run, and the first signed head "
        "over all of them.",
    )  # fmt: skip
    for what, path in PROOFS.items():
        if what in found.proofs:
            yield CrateFile(
                path=path, data=found.proofs[what], name=f"Proof of the {what}", encoding=TEXT,
                description=f"That the {what} is an entry of the log (C2SP tlog-proof).",
            )  # fmt: skip
    yield CrateFile(
        path=KEY, data=f"{found.public.hex()}\n".encode(), name="Key of the log", encoding=TEXT,
        description="The public key of the log. Compare it with one from somewhere you trust.",
    )  # fmt: skip


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
