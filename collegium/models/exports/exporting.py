"""The export of a released model: a whole signed folder, or nothing.

All is written beside the place first. The coordinator signs the digests of the files (an act
``model.export`` where people are registered), the folder is verified as whoever gets it would, and
only then does it stand under its name.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collegium.extras import require_extra
from collegium.models.exports import folder as files
from collegium.models.exports.documents.mlbom import ml_bom
from collegium.models.exports.documents.model_card import model_card
from collegium.models.exports.forms.form import FormUnavailable, fidelity_of
from collegium.models.exports.forms.headline import SimulatedHeadline
from collegium.models.exports.forms.network import built_model
from collegium.models.exports.forms.registry import chosen_forms
from collegium.models.exports.released import ReleasedModel, released_model
from collegium.models.exports.signed_files import digests_in
from collegium.models.exports.verifying import verify_export
from compliance.governance.acts import ActRequest
from compliance.governance.models.release_signature import PUBLIC_KEY, SIGNATURE
from compliance.storage.new_folder import new_folder, require_new
from coordinator.database.workspace import Workspace
from coordinator.governance.models.release_key import KEY_PROOF
from coordinator.runs.person_acts import perform
from protocol.encoding import digest_json
from protocol.identity.roster import SigningKey
from protocol.vectors.tensors import encode_tensors


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """A model that is to be exported, and where to.

    Attributes:
        version: the beginning of the snapshot's digest, its run or its model's digest.
        to: the new folder.
        forms: names of forms; None for all that the model has.
        study_file: see ``released_model``.
        data: the folder of a simulation's records, to compare forms on its test patients; None
            compares them on reference inputs alone.
    """

    version: str
    to: Path
    forms: tuple[str, ...] | None = None
    study_file: Path | None = None
    data: Path | None = None


def export_model(
    out: Path,
    asked: ExportRequest,
    key: SigningKey | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Writes the folder; returns what ``--json`` shows.

    Args:
        out: the folder of runs.
        asked: what, and where to.
        key: of the person who exports it; None where nobody says who they are.
        say: is told of every step.

    Raises:
        PolicyRefused: the act is refused, or there is no such snapshot or form.
        WorkspaceRefused: the folder cannot be written, or a package is missing.
        QuorumLost, MessageRefused, StoreBroken, StudyRefused: see ``released_model``.
    """
    forms = chosen_forms(asked.forms)
    for form in forms:
        require_extra(form.extra)
    require_new(asked.to)  # before the model is read, which takes a while
    released = released_model(out, asked.version, asked.study_file)
    say(f"snapshot   {released.snapshot.digest[:12]} of run {released.snapshot.run}: signed by "
        f"{len(released.signed.signatures)} of {len(released.snapshot.sites)}")  # fmt: skip
    with new_folder(asked.to) as draft:
        told = _filled(out, draft, released, asked, key, say)
        told |= {"checked": verify_export(draft, Workspace(out).public_key())}
    return {"folder": str(asked.to), **told}


def _filled(
    out: Path,
    draft: Path,
    released: ReleasedModel,
    asked: ExportRequest,
    key: SigningKey | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Writes every file of a folder, the signature last; returns what was made."""
    _write_evidence(draft, released)
    fidelity, left_out = _write_forms(draft, released, asked, say)
    _write_json(draft / files.FIDELITY, _fidelity_json(fidelity, left_out))
    (draft / files.CARD).write_text(model_card(released, fidelity, left_out), encoding="utf-8")
    _write_json(draft / files.BOM, ml_bom(released, digests_in(draft)))
    act = _signed(out, draft, released, tuple(fidelity), key)
    say(f"signed     {SIGNATURE}, by the release key {PUBLIC_KEY}")
    return {
        "snapshot": released.snapshot.digest,
        "forms": fidelity,
        "left_out": left_out,
        "act": act.get("act"),
        "person": act.get("person"),
    }


def _write_evidence(draft: Path, released: ReleasedModel) -> None:
    held = {
        files.SNAPSHOT: released.signed.to_bytes(),
        files.ROSTER: released.roster.canonical_bytes,
        files.STUDY: released.study.canonical_bytes,
        files.PROOF: released.proof,
        files.WEIGHTS: encode_tensors(released.model),
    }
    for name, data in held.items():
        (draft / name).write_bytes(data)


def _write_forms(
    draft: Path,
    released: ReleasedModel,
    asked: ExportRequest,
    say: Callable[[str], None],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Writes the forms; returns by form how far it is from the model, and why one is left out.

    Raises:
        FormUnavailable: the model has no such form, and it was asked for by name.
    """
    fidelity: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    forms = chosen_forms(asked.forms)
    if not forms:
        return fidelity, left_out
    built = built_model(released.study, released.model)
    headline = None if asked.data is None else SimulatedHeadline(released, asked.data)
    for form in forms:
        try:
            written = form.write(released, built, draft)
        except FormUnavailable as error:
            if asked.forms is not None:
                raise
            left_out[form.name] = str(error)
            say(f"{form.name:<10} left out: {error}")
            continue
        found = fidelity[form.name] = fidelity_of(form, written, built)
        if headline is not None:
            found["simulated_headline"] = headline.compared(built, written)
        say(
            f"{form.name:<10} {written.files[0]}: largest difference "
            f"{found['largest_difference']:.2g} on reference inputs"
        )
    return fidelity, left_out


def _fidelity_json(fidelity: dict[str, Any], left_out: dict[str, str]) -> dict[str, Any]:
    return {
        "about": "Differences of outputs from those of the parameters in this folder, on inputs "
        "that no patient gave. What a form costs on patients is measured where their records are.",
        "forms": fidelity,
        "left_out": left_out,
    }


def _signed(
    out: Path,
    draft: Path,
    released: ReleasedModel,
    forms: tuple[str, ...],
    key: SigningKey | None,
) -> dict[str, Any]:
    """Has the coordinator sign the files, and writes signature, key and the key's proof."""
    found = digests_in(draft)
    request = ActRequest(
        action="model.export",
        subject_kind="snapshot",
        subject=released.snapshot.digest,
        details={"files": digest_json(found), "forms": forms},
    )
    told = perform(out, request, key, {"files": found})
    more = {PUBLIC_KEY: "release_key", KEY_PROOF: "key_proof", SIGNATURE: "signature"}
    for name, part in more.items():
        (draft / name).write_bytes(told[part].encode())
    return told


def _write_json(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")
