"""The register of encrypted models in a coordinator's folder: decisions of people, signed by it.

Who asks has encrypted, or wrapped the key anew, on the machine where the identity is; here arrive a
header and what a person signed about it, never a key. The log holds each act, so a folder of
encrypted models that was put back to an older state is found here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.acts import ActRequest, Details, read_request
from compliance.governance.two_person import ChangeState
from compliance.storage.clock import Clock, utc_now
from compliance.storage.encryption.age_header import MAX_HEADER
from compliance.storage.encryption.age_keys import read_recipient
from compliance.storage.encryption.folder import WEIGHTS, WeightsFolder
from compliance.storage.encryption.history import WeightsHistory
from compliance.storage.encryption.record import WeightsManifest
from compliance.storage.encryption.writer import WeightsDecision, WeightsWriter
from coordinator.database.store import Store
from coordinator.governance.governance import Authorised
from coordinator.governance.tables import ActRow, ChangeRow
from protocol.codec import base64_bytes
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time

_HEADER = base64_bytes(MAX_HEADER)
_RETIRE = "weights.retire"
_GENERATIONS = ("weights.seal", "weights.rewrap")


def act_details(manifest: WeightsManifest) -> Details:
    """Returns a generation as the details of an act that decides it."""
    return {
        "payload": manifest.payload,
        "payload_bytes": manifest.payload_bytes,
        "header": manifest.header,
        "generation": manifest.generation,
        "recipients": tuple(f"{one.name}={one.key}" for one in manifest.recipients),
    }


def act_payload(header: bytes) -> dict[str, Any]:
    """Returns what travels beside an act that decides a generation."""
    return {"header": _HEADER.write(header)}


class WeightsRegister:
    """Decisions about the encrypted models of one folder.

    Args:
        store: the consortium's database.
        key: signs the decisions; its public half is the one that is trusted.
        home: the coordinator's folder, or one of simulations.
        clock: says what time it is.
    """

    def __init__(self, store: Store, key: SigningKey, home: Path, clock: Clock = utc_now) -> None:
        self._store, self._key, self._clock = store, key, clock
        self._folder = WeightsFolder(home / WEIGHTS, {key.public})
        self._writer = WeightsWriter(self._folder)

    def seal(self, taken: Authorised, beside: Mapping[str, Any]) -> dict[str, Any]:
        """Begins the record of a model that was encrypted.

        Raises:
            PolicyRefused: it is encrypted here already.
            MessageRefused: payload or header is not the one that the act names.
        """
        manifest = _manifest(taken.request)
        self._writer.begin(manifest, _header(beside), self._decision(taken))
        return _told(manifest)

    def rewrap(self, taken: Authorised, beside: Mapping[str, Any]) -> dict[str, Any]:
        """Puts a header for other recipients in place.

        Raises:
            PolicyRefused: the model is retired, or was re-wrapped meanwhile.
            MessageRefused: the header is not the one that the act names.
        """
        manifest = _manifest(taken.request)
        self._current(manifest.model)
        self._writer.rewrap(manifest, _header(beside), self._decision(taken))
        return _told(manifest)

    def retire(self, taken: Authorised) -> dict[str, Any]:
        """Retires a model: its header is removed.

        Raises:
            PolicyRefused: it is retired already.
        """
        model = taken.request.subject
        self._writer.retire(model, self._decision(taken))
        return {"model": model, "retired": True}

    def open(self, taken: Authorised) -> dict[str, Any]:
        """Decides whether an identity may open a model; the command that asks then decrypts.

        Raises:
            PolicyRefused: it may not.
            StoreBroken: the record is older than the log.
        """
        model = taken.request.subject
        recipient = str(taken.request.details.get("recipient", ""))
        history = self._current(model)
        named = history.require_may_open(recipient)
        return {"model": model, "recipient": named.name} | {
            "generation": history.manifest.generation
        }

    def _current(self, model: str) -> WeightsHistory:
        """Returns a model's history, which is not older than the log.

        Raises:
            StoreBroken: it is.
        """
        history = self._folder.history(model)
        with self._store.read() as session:
            generation, is_retired = _logged(session, model)
        if history.manifest.generation < generation or (is_retired and history.retired is None):
            raise StoreBroken(
                f"the record of {model[:12]} is older than the log, which knows "
                f"{'that it was retired' if is_retired else f'generation {generation}'}: restore "
                f"{WEIGHTS}/ from the newest backup"
            )
        return history

    def _people(self, taken: Authorised) -> str:
        """Returns who decided: of a change that was confirmed, both."""
        if taken.change is None:
            return taken.person
        with self._store.read() as session:
            proposed_by = session.get_one(ChangeRow, taken.change).proposed_by
        return f"{proposed_by}, confirmed by {taken.person}"

    def _decision(self, taken: Authorised) -> WeightsDecision:
        return WeightsDecision(
            at=write_time(self._clock()),
            key=self._key,
            by=self._people(taken),
            reason=str(taken.request.details.get("reason", "")),
        )


def _logged(session: Session, model: str) -> tuple[int, bool]:
    """Returns a model's newest generation that acts decided (0 if none), and if it was retired."""
    decided = select(ActRow.details_json).filter_by(subject=model, outcome="done")
    generations = [
        json.loads(details)["generation"]
        for details in session.scalars(decided.where(ActRow.action.in_(_GENERATIONS)))
    ]
    requests = [
        read_request(json.loads(said))
        for said in session.scalars(
            select(ChangeRow.request_json).filter_by(state=ChangeState.DONE)
        )
    ]
    retired = any((one.action, one.subject) == (_RETIRE, model) for one in requests)
    return max(generations, default=0), retired


def _manifest(request: ActRequest) -> WeightsManifest:
    """Returns the generation that an act decides.

    Raises:
        MessageRefused: its details are none.
    """
    said: Mapping[str, Any] = request.details
    try:
        return WeightsManifest(
            model=request.subject,
            payload=said["payload"],
            payload_bytes=said["payload_bytes"],
            header=said["header"],
            generation=said["generation"],
            recipients=tuple(read_recipient(one) for one in said["recipients"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, PolicyRefused) as error:
        raise MessageRefused(f"the act names no generation of a model: {error}") from error


def _header(beside: Mapping[str, Any]) -> bytes:
    return _HEADER.read(beside.get("header"))


def _told(manifest: WeightsManifest) -> dict[str, Any]:
    return {"model": manifest.model, "generation": manifest.generation}
