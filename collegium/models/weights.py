"""Encrypted models: sealed from a run's final model, re-wrapped, retired, listed, opened."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collegium.models.weights_places import WeightsPlace
from compliance.storage.encryption.age_keys import read_identity_file, read_recipient
from compliance.storage.encryption.history import WeightsHistory
from compliance.storage.encryption.opening import open_model, require_free
from compliance.storage.encryption.record import WeightsManifest
from compliance.storage.encryption.sealing import chosen, rewrapped, sealed
from protocol.errors import FederationError


def seal(place: WeightsPlace, model: str, recipients: Sequence[str]) -> dict[str, Any]:
    """Encrypts a model for recipients; returns what was made.

    Args:
        place: where it is kept.
        model: a run, or a model's file.
        recipients: each ``NAME=age1...``.

    Raises:
        FederationError: it is refused, or cannot be done; says what to do.
    """
    named = [read_recipient(said) for said in recipients]
    file, digest = (Path(model), None) if Path(model).is_file() else place.model_of_run(model)
    with sealed(place.writer, file, named, digest) as draft:
        made = place.seal(draft)
    return _told(place, draft.manifest) | made.to_json()


def rewrap(
    place: WeightsPlace,
    model: str,
    identity: Path,
    add: Sequence[str],
    remove: Sequence[str],
    reason: str,
) -> dict[str, Any]:
    """Gives a model other recipients; returns the new generation.

    Args:
        place: where it is kept.
        model: the beginning of its digest.
        identity: the file of an identity that is a recipient's now.
        add: who comes, each ``NAME=age1...``.
        remove: the names of those who leave.
        reason: why.

    Raises:
        FederationError: it is refused, or cannot be done; says what to do.
    """
    found = place.folder.find(model)
    identities = read_identity_file(identity)
    comes = [read_recipient(said) for said in add]
    draft = rewrapped(place.folder, found, identities, comes, remove)
    made = place.rewrap(draft, reason)
    return _told(place, draft.manifest) | made.to_json()


def retire(place: WeightsPlace, model: str, reason: str) -> dict[str, Any]:
    """Ends the use of an encrypted model; in a consortium with people a second one confirms.

    Raises:
        FederationError: it is refused; says what to do.
    """
    found = place.folder.find(model)
    place.folder.history(found).require_in_use()
    return {"model": found} | place.retire(found, reason).to_json()


def open_weights(
    place: WeightsPlace, model: str, identity: Path, to: Path, at_least: int = 1
) -> dict[str, Any]:
    """Decrypts a model into a new file, after every check; returns whose opening it was.

    Allowed or refused, it is written down.

    Args:
        place: where it is kept.
        model: the beginning of its digest.
        identity: the file of a recipient's identity.
        to: the new file.
        at_least: the generation that whoever opens knows of.

    Raises:
        FederationError: it is refused, or cannot be done; says what to do.
    """
    require_free(to)
    found = place.folder.find(model)
    own = chosen(place.folder.history(found), read_identity_file(identity))
    try:
        made = place.require_may_open(found, own.key, at_least)
        open_model(
            place.folder,
            found,
            own,
            to,
            lambda: place.note_opening(found, own.key, made.person or ""),
            at_least,
        )
    except FederationError as error:
        place.note_refusal(found, own.key, error)
        raise
    return {"model": found, "file": str(to), "recipient": own.key} | made.to_json()


def listing(place: WeightsPlace, beginning: str = "") -> list[dict[str, Any]]:
    """Returns the encrypted models of a place, with their recipients and events.

    Args:
        place: where they are kept.
        beginning: of the one model that is meant; empty for all.

    Raises:
        FederationError: a record was changed, or the model is not there.
    """
    models = (place.folder.find(beginning),) if beginning else place.folder.models()
    return [_listed(place.folder.history(model)) for model in models]


def _told(place: WeightsPlace, manifest: WeightsManifest) -> dict[str, Any]:
    return {
        "model": manifest.model,
        "generation": manifest.generation,
        "recipients": {one.name: one.key for one in manifest.recipients},
        "header": str(place.folder.header_file(manifest.model)),
        "payload": str(place.folder.payload_file(manifest.model)),
        "record": str(place.folder.record_file(manifest.model)),
        "payload_bytes": manifest.payload_bytes,
    }


def _listed(history: WeightsHistory) -> dict[str, Any]:
    return {
        "model": history.manifest.model,
        "state": "in use" if history.retired is None else "retired",
        "generation": history.manifest.generation,
        "payload_bytes": history.manifest.payload_bytes,
        "recipients": [
            {
                "name": one.recipient.name,
                "key": one.recipient.key,
                "state": "active" if one.until is None else "retired",
                "since": one.since,
                "until": one.until,
                "reason": one.reason,
            }
            for one in history.recipients
        ],
        "events": [
            {
                "at": event.at,
                "kind": str(event.kind),
                "by": event.by,
                "recipient": event.recipient,
                "generation": event.manifest.generation if event.manifest else None,
                "reason": event.reason,
                "signed": event.signer is not None,
            }
            for event in history.events
        ],
    }
