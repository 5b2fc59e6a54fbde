"""The one place that changes encrypted models: decisions under a key, and openings.

A re-wrap writes the new header beside the old one, adds its event, and then puts the header in
place: whatever is cut off, the record says which header counts, and a reader finds it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from compliance.storage.atomic_file import (
    append_line,
    put_in_place,
    remove,
    sync_folder,
    write_whole,
)
from compliance.storage.encryption.age_header import read_header
from compliance.storage.encryption.folder import LOCK, SEALING, WeightsFolder
from compliance.storage.encryption.history import WeightsHistory
from compliance.storage.encryption.record import (
    NOTHING_BEFORE,
    WeightsEvent,
    WeightsEventKind,
    WeightsManifest,
    line_of,
)
from protocol.encoding import digest
from protocol.errors import MessageRefused, PolicyRefused, WorkspaceRefused
from protocol.identity.roster import SigningKey

_MAX_REASON = 1000


@dataclass(frozen=True, kw_only=True)
class WeightsDecision:
    """A decision about an encrypted model: whose it is, when, why.

    ``by`` is a person's name, empty where none is known; ``key`` signs it.
    """

    at: str
    key: SigningKey
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class WeightsOpening:
    """An opening: with which public key, when, by whom; ``refusal`` says why it was refused."""

    recipient: str
    at: str
    by: str = ""
    refusal: str | None = None


class WeightsWriter:
    """Changes of a folder of encrypted models, one at a time."""

    def __init__(self, folder: WeightsFolder) -> None:
        self.folder = folder

    def begin(self, manifest: WeightsManifest, header: bytes, decision: WeightsDecision) -> None:
        """Begins the record of a model whose payload is in place; writes its header.

        Raises:
            PolicyRefused: the model is sealed here already.
            MessageRefused: the header is not the manifest's, or the payload has another size.
        """
        _require_header(manifest, header)
        if manifest.generation != 1:
            raise MessageRefused("a model is sealed as generation 1")
        with self._lock(LOCK, wait=True):
            self.require_new(manifest.model)
            # Its digest was taken as it was written, under the lock of ``sealing``.
            self.folder.require_size(manifest)
            write_whole(self.folder.header_file(manifest.model), header)
            event = _event(WeightsEventKind.SEALED, decision, manifest)
            write_whole(self.folder.record_file(manifest.model), line_of(event, decision.key))

    def rewrap(self, manifest: WeightsManifest, header: bytes, decision: WeightsDecision) -> None:
        """Puts a header of the next generation in place; the payload stays as it is.

        Raises:
            PolicyRefused: the model is retired, or was re-wrapped meanwhile.
            MessageRefused: the header is not the manifest's.
        """
        _require_header(manifest, header)
        with self._lock(LOCK, wait=True):
            history = self.folder.history(manifest.model)
            history.require_in_use()
            now = history.manifest
            if manifest.generation != now.generation + 1:
                raise PolicyRefused(
                    f"model {manifest.model[:12]} is at generation {now.generation}, so the next "
                    f"is {now.generation + 1}, not {manifest.generation}: begin again"
                )
            if (manifest.payload, manifest.payload_bytes) != (now.payload, now.payload_bytes):
                raise MessageRefused("a re-wrap names the payload that is there")
            beside = self.folder.next_header_file(manifest.model)
            write_whole(beside, header)
            event = _event(WeightsEventKind.REWRAPPED, decision, manifest)
            self._add(history, event, decision.key)
            put_in_place(beside, self.folder.header_file(manifest.model))

    def retire(self, model: str, decision: WeightsDecision) -> None:
        """Retires a model: nobody opens it here from now on, and its header is removed.

        Raises:
            PolicyRefused: it is retired already.
        """
        with self._lock(LOCK, wait=True):
            history = self.folder.history(model)
            history.require_in_use()
            self._add(history, _event(WeightsEventKind.RETIRED, decision), decision.key)
            remove(self.folder.next_header_file(model))
            remove(self.folder.header_file(model))

    def note_opening(
        self, model: str, opening: WeightsOpening, key: SigningKey | None = None
    ) -> None:
        """Writes down an opening that was allowed or refused, signed where a key is at hand.

        Raises:
            PolicyRefused: it is one that the record no longer allows.
            StoreBroken: the record was changed.
            WorkspaceRefused: it cannot be written.
        """
        kind = WeightsEventKind.OPENED if opening.refusal is None else WeightsEventKind.REFUSED
        event = WeightsEvent(
            number=0,
            previous=NOTHING_BEFORE,
            at=opening.at,
            kind=kind,
            by=opening.by,
            recipient=opening.recipient,
            reason=_plain(opening.refusal or ""),
        )
        with self._lock(LOCK, wait=True):
            history = self.folder.history(model)
            if kind is WeightsEventKind.OPENED:
                history.require_may_open(opening.recipient)
            self._add(history, event, key)

    @contextmanager
    def sealing(self, model: str) -> Iterator[Path]:
        """Yields a place for a payload in the making, while nobody else seals the same model here.

        What is left there is removed.

        Raises:
            PolicyRefused: the model is sealed here already, or is being sealed.
            WorkspaceRefused: the folder cannot be written.
        """
        with self._lock(SEALING.format(model=model), wait=False):
            self.require_new(model)
            partial = self.folder.payload_file(model).with_suffix(".partial")
            try:
                yield partial
            finally:
                partial.unlink(missing_ok=True)

    def require_new(self, model: str) -> None:
        """Refuses a model that has a record here.

        Raises:
            PolicyRefused: it has one; says what to do.
        """
        if self.folder.record_file(model).exists():
            raise PolicyRefused(
                f"model {model[:12]} is encrypted here already: other recipients are given by "
                "weights rewrap; a retired one is encrypted again in another folder"
            )

    def _add(self, history: WeightsHistory, said: WeightsEvent, key: SigningKey | None) -> None:
        event = replace(said, number=len(history.events), previous=history.head)
        path = self.folder.record_file(history.manifest.model)
        try:
            append_line(path, line_of(event, key))
        except OSError as error:
            raise WorkspaceRefused(
                f"{path.name} cannot be written ({error.strerror}), and nothing is opened or "
                "changed that is not written down"
            ) from error

    @contextmanager
    def _lock(self, name: str, *, wait: bool) -> Iterator[None]:
        """Holds a lock file of the folder, which is made where it is missing."""
        root = self.folder.root
        try:
            if not root.is_dir():
                root.mkdir(mode=0o700, parents=True)
                sync_folder(root.parent)
            handle = os.open(root / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise WorkspaceRefused(
                f"{root} cannot be written ({error.strerror}), and nothing is opened or changed "
                "that is not written down"
            ) from error
        try:
            _hold(handle, wait=wait)
            yield
        finally:
            os.close(handle)


def _hold(handle: int, *, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PolicyRefused("another process encrypts this model now: wait for it") from error


def _require_header(manifest: WeightsManifest, header: bytes) -> None:
    """Refuses a header that is not the manifest's, or wraps the key for another number.

    For whom each stanza is, only that recipient can find out.
    """
    if digest(header) != manifest.header:
        raise MessageRefused("the header is not the one that the manifest names")
    if len(read_header(header).own_stanzas) != len(manifest.recipients):
        raise MessageRefused("the header has another number of recipients than the manifest")


def _event(
    kind: WeightsEventKind, decision: WeightsDecision, manifest: WeightsManifest | None = None
) -> WeightsEvent:
    return WeightsEvent(
        number=0,
        previous=NOTHING_BEFORE,
        at=decision.at,
        kind=kind,
        by=decision.by,
        manifest=manifest,
        reason=_plain(decision.reason),
    )


def _plain(text: str) -> str:
    """Returns a text in one line that the record takes."""
    return "".join(c if c.isprintable() else " " for c in text)[:_MAX_REASON]
