"""Sealing a model for recipients, and wrapping its key for other ones; nothing is decided here.

What is made is a draft: a manifest and its header. ``WeightsWriter`` takes it under a signature.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compliance.storage.atomic_file import open_regular, put_in_place, sync_file
from compliance.storage.encryption.age_header import header_for, read_header, unwrapped
from compliance.storage.encryption.age_keys import AgeIdentity, Recipient
from compliance.storage.encryption.age_stream import encrypt
from compliance.storage.encryption.folder import WeightsFolder
from compliance.storage.encryption.history import WeightsHistory
from compliance.storage.encryption.model_file import digest_of_model_file
from compliance.storage.encryption.record import WeightsManifest
from compliance.storage.encryption.writer import WeightsWriter
from protocol.encoding import digest
from protocol.errors import MessageRefused, PolicyRefused, WorkspaceRefused


@dataclass(frozen=True, kw_only=True)
class WeightsDraft:
    """A generation that nobody has signed yet: its manifest and its header."""

    manifest: WeightsManifest
    header: bytes


@contextmanager
def sealed(
    writer: WeightsWriter, plain: Path, recipients: Sequence[Recipient], model: str | None = None
) -> Iterator[WeightsDraft]:
    """Encrypts a model's file into a folder; yields the draft, while nobody else seals the model.

    Args:
        writer: of the folder.
        plain: the model's file (safetensors).
        recipients: who may open it.
        model: the digest that the file must have; None where any model is meant.

    Raises:
        PolicyRefused: it is encrypted there already, or the recipients are no set of recipients.
        MessageRefused: the file holds no model, or another one.
        WorkspaceRefused: something cannot be read or written.
    """
    try:
        with os.fdopen(open_regular(plain), "rb") as file:
            found = digest_of_model_file(file)
            if model is not None and found != model:
                raise MessageRefused(
                    f"{plain.name} holds model {found[:12]}, not {model[:12]}: it was changed"
                )
            _manifest(found, found, 1, b"", 1, recipients)  # refused before anything is encrypted
            with writer.sealing(found) as partial:
                handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(handle, "wb") as payload:
                    # The same open file: a name that means another one meanwhile changes nothing.
                    file.seek(0)
                    made = encrypt(file, payload, recipients)
                    sync_file(payload)
                manifest = _manifest(
                    found, made.payload_digest, made.payload_bytes, made.header, 1, recipients
                )
                put_in_place(partial, writer.folder.payload_file(found))
                yield WeightsDraft(manifest=manifest, header=made.header)
    except OSError as error:
        raise WorkspaceRefused(f"{plain.name} cannot be encrypted: {error}") from error


def rewrapped(
    folder: WeightsFolder,
    model: str,
    identities: Sequence[AgeIdentity],
    add: Sequence[Recipient],
    remove: Collection[str],
) -> WeightsDraft:
    """Returns the next generation: the same file key for other recipients.

    Args:
        folder: of the model.
        model: its digest.
        identities: of which one is a recipient's now.
        add: new recipients. One whose name is removed at the same time has a new key.
        remove: names of recipients that leave.

    Raises:
        PolicyRefused: the model is retired, no identity may open it, a name is unknown or taken, or
            nobody would be left.
        MessageRefused: the header was changed.
        StoreBroken: the record was changed.
    """
    history = folder.history(model)
    header = read_header(folder.header(history))
    file_key = unwrapped(header, chosen(history, identities).private)
    now = history.manifest
    unknown = sorted({*remove} - {one.name for one in now.recipients})
    if unknown:
        raise PolicyRefused(f"{', '.join(unknown)} is no recipient of model {model[:12]}")
    if not add and not remove:
        raise PolicyRefused("name who comes (--add) or leaves (--remove)")
    recipients = [*(one for one in now.recipients if one.name not in remove), *add]
    if not recipients:
        raise PolicyRefused("nobody would be left: weights retire ends the use of a model")
    recipients.sort(key=lambda one: one.name)
    made = header_for(file_key, [one.key_bytes for one in recipients]).to_bytes()
    manifest = _manifest(
        model, now.payload, now.payload_bytes, made, now.generation + 1, recipients
    )
    return WeightsDraft(manifest=manifest, header=made)


def chosen(history: WeightsHistory, identities: Sequence[AgeIdentity]) -> AgeIdentity:
    """Returns the identity that is an active recipient's; the first one, where none is."""
    active = {one.key for one in history.manifest.recipients}
    return next((one for one in identities if one.key in active), identities[0])


def _manifest(
    model: str,
    payload: str,
    payload_bytes: int,
    header: bytes,
    generation: int,
    recipients: Sequence[Recipient],
) -> WeightsManifest:
    try:
        return WeightsManifest(
            model=model,
            payload=payload,
            payload_bytes=payload_bytes,
            header=digest(header),
            generation=generation,
            recipients=tuple(sorted(recipients, key=lambda one: one.name)),
        )
    except ValueError as error:
        raise PolicyRefused(
            f"these are no recipients of one model: {error}. Each has a name and a key of its own"
        ) from error
