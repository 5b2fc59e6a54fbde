"""Opening an encrypted model: every check, then the plain file, whole or not at all."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from compliance.storage.atomic_file import put_new_in_place, sync_file
from compliance.storage.encryption.age_keys import AgeIdentity
from compliance.storage.encryption.age_stream import decrypt
from compliance.storage.encryption.folder import WeightsFolder
from compliance.storage.encryption.model_file import digest_of_model_file
from protocol.errors import MessageRefused, WorkspaceRefused


def require_free(to: Path) -> None:
    """Refuses a place for a plain model that is taken, or in no folder.

    Raises:
        WorkspaceRefused: it is.
    """
    if os.path.lexists(to):
        raise WorkspaceRefused(f"--to {to} is there already: name another file")
    if not to.parent.is_dir():
        raise WorkspaceRefused(f"--to {to}: there is no folder {to.parent}")


def open_model(
    folder: WeightsFolder,
    model: str,
    identity: AgeIdentity,
    to: Path,
    before: Callable[[], None] = lambda: None,
    at_least: int = 1,
) -> None:
    """Decrypts a model into a new file (mode 0600), after every check; memory stays constant.

    Args:
        folder: of the model.
        model: its digest.
        identity: a recipient's.
        to: the new file.
        before: writes the opening down; called when all is checked, before the file is in place.
        at_least: the generation that whoever opens knows of.

    Raises:
        PolicyRefused: the record does not let this identity open it, or an older header lies there.
        MessageRefused: a signature, the header, the payload or the model in it is another.
        StoreBroken: the record was changed.
        WorkspaceRefused: something cannot be read or written.
    """
    history = folder.history(model)
    history.require_may_open(identity.key, at_least)
    header = folder.header(history)
    folder.require_payload(history.manifest)
    try:
        with _new_file(to) as (plain, put):
            with folder.payload_file(model).open("rb") as payload:
                decrypt(header, payload, plain, identity)
            sync_file(plain)
            found = digest_of_model_file(plain)
            if found != model:
                raise MessageRefused(
                    f"what was encrypted is model {found[:12]}, not {model[:12]}: it was not kept"
                )
            before()
            put()
    except OSError as error:
        raise WorkspaceRefused(f"--to {to} cannot be written: {error}") from error


@contextmanager
def _new_file(to: Path) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """Yields a file beside a place, and what puts it there; what is left of it is removed."""
    partial = to.with_name(f".{to.name}.{secrets.token_hex(4)}.partial")
    handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    try:
        with os.fdopen(handle, "rb+") as file:
            yield file, lambda: put_new_in_place(partial, to)
    finally:
        partial.unlink(missing_ok=True)
