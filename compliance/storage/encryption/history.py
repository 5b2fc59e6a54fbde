"""The history of an encrypted model: its record read back, every line checked."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from compliance.storage.encryption.age_keys import Recipient
from compliance.storage.encryption.record import (
    DECISIONS,
    DOMAIN,
    NOTHING_BEFORE,
    WeightsEvent,
    WeightsEventKind,
    WeightsManifest,
)
from protocol.codec import from_json, hex_bytes, optional
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import verify

_MAX_RECORD = 1 << 26


@dataclass(frozen=True, kw_only=True)
class RecipientStanding:
    """A recipient over time: active since ``since`` until ``until``, None while it is.

    ``reason`` says why it was retired.
    """

    recipient: Recipient
    since: str
    until: str | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class WeightsHistory:
    """The verified events of one model's record; ``head`` is the digest of the last line."""

    events: tuple[WeightsEvent, ...]
    head: str

    @cached_property
    def manifest(self) -> WeightsManifest:
        """The newest generation."""
        return self.manifests[-1]

    @property
    def manifests(self) -> tuple[WeightsManifest, ...]:
        """All generations, in order."""
        return tuple(one.manifest for one in self.events if one.manifest is not None)

    @property
    def retired(self) -> WeightsEvent | None:
        """The event that retired the model, None while it may be opened."""
        return next((one for one in self.events if one.kind is WeightsEventKind.RETIRED), None)

    @property
    def recipients(self) -> tuple[RecipientStanding, ...]:
        """Every recipient that ever was one, by name, then in order of time."""
        found: dict[tuple[str, str, str], RecipientStanding] = {}
        active: dict[Recipient, tuple[str, str, str]] = {}
        for event in self.events:
            left = event.kind is WeightsEventKind.RETIRED
            if event.manifest is None and not left:
                continue
            named = () if event.manifest is None else event.manifest.recipients
            for one in [one for one in active if one not in named]:
                place = active.pop(one)
                found[place] = replace(found[place], until=event.at, reason=event.reason)
            for one in named:
                if one not in active:
                    active[one] = (one.name, event.at, one.key)
                    found[active[one]] = RecipientStanding(recipient=one, since=event.at)
        return tuple(found[place] for place in sorted(found))

    def require_in_use(self) -> None:
        """Refuses a model that was retired.

        Raises:
            PolicyRefused: it was; says when and why.
        """
        if self.retired is not None:
            raise PolicyRefused(
                f"model {self.manifest.model[:12]} was retired at {self.retired.at}: "
                f"{self.retired.reason or 'no reason was given'}"
            )

    def require_may_open(self, key: str, at_least: int = 1) -> Recipient:
        """Returns the active recipient that has a public key.

        Args:
            key: ``age1...``.
            at_least: the generation that whoever opens knows of.

        Raises:
            PolicyRefused: the model or the recipient was retired, none has this key, or the record
                is older than it was once.
        """
        self.require_in_use()
        if self.manifest.generation < at_least:
            raise PolicyRefused(
                f"this is generation {self.manifest.generation}, and generation {at_least} is "
                "known: an older state was put back. Take the files from whoever sealed the model"
            )
        for one in self.manifest.recipients:
            if one.key == key:
                return one
        former = [one for one in self.recipients if one.recipient.key == key and one.until]
        if former:
            raise PolicyRefused(
                f"{former[-1].recipient.name} was retired as a recipient at {former[-1].until}: "
                f"{former[-1].reason or 'no reason was given'}"
            )
        raise PolicyRefused(f"{key[:16]}... was never a recipient of this model")


def read_history(data: bytes, model: str, trusted: Collection[bytes]) -> WeightsHistory:
    """Returns the history in a record's bytes, each line checked.

    Bytes after the last line feed are of a line that was not finished: it was never written.

    Args:
        data: the record.
        model: the digest of the model that it must be about.
        trusted: public keys (32 bytes) of which one signs each decision.

    Raises:
        StoreBroken: it is empty, or a line was changed, taken out, or does not follow.
        MessageRefused: a signature is wrong, or under a key that is not trusted.
    """
    if len(data) > _MAX_RECORD:
        raise StoreBroken("the record of openings is larger than any")
    events: list[WeightsEvent] = []
    head, newest = NOTHING_BEFORE, b""
    manifest, is_over = None, False
    for line in data.split(b"\n")[:-1]:
        event = _read_line(line, trusted)
        newest = newest if event.signer is None else line
        if (event.number, event.previous) != (len(events), head):
            raise StoreBroken(
                f"event {len(events)} of the record does not follow the one before it: the record "
                "was changed. Restore it from a backup"
            )
        _require_follows(manifest, is_over, event, model)
        manifest = event.manifest or manifest
        is_over |= event.kind is WeightsEventKind.RETIRED
        events.append(event)
        head = digest(line + b"\n")
    if not events:
        raise StoreBroken("the record of openings is empty: restore it from a backup")
    _require_signed(newest)
    return WeightsHistory(events=tuple(events), head=head)


def _read_line(line: bytes, trusted: Collection[bytes]) -> WeightsEvent:
    try:
        said = parse_canonical(line)
        if not isinstance(said, dict) or said.keys() != {"event", "signature"}:
            raise MessageRefused("a line holds an event and a signature")
        event = from_json(WeightsEvent, said["event"])
        signature = optional(hex_bytes(64)).read(said["signature"])
    except MessageRefused as error:
        raise StoreBroken(f"a line of the record is none: {error}") from error
    if (event.signer is None) != (signature is None):
        raise StoreBroken("a line of the record has a signature or a signer, not both")
    if event.signer is not None and signature is not None:
        if event.signer not in trusted:
            raise MessageRefused(
                f"the record is signed under key {event.signer.hex()[:16]}..., which is not the "
                "one that is trusted here"
            )
    elif event.kind in DECISIONS:
        raise MessageRefused(f"the record says {event.kind} without a signature")
    return event


def _require_signed(line: bytes) -> None:
    """Checks the signature of a line that ``_read_line`` took.

    Raises:
        MessageRefused: it was not made with the signer's key.
    """
    said: Any = parse_canonical(line)
    signer, signature = (
        bytes.fromhex(text) for text in (said["event"]["signer"], said["signature"])
    )
    verify(signer, DOMAIN, canonical(said["event"]), signature)


def _require_follows(
    before: WeightsManifest | None, is_over: bool, event: WeightsEvent, model: str
) -> None:
    """Refuses an event that does not follow from the generation before it.

    Raises:
        StoreBroken: it does not.
    """
    new = event.manifest
    wrong = (event.kind is WeightsEventKind.SEALED) != (before is None)
    wrong |= is_over and event.kind is not WeightsEventKind.REFUSED
    if new is not None:
        generation = 1 if before is None else before.generation + 1
        wrong |= (new.model, new.generation) != (model, generation)
        wrong |= before is not None and (new.payload, new.payload_bytes) != (
            before.payload,
            before.payload_bytes,
        )
    if wrong:
        raise StoreBroken(f"event {event.number} of the record ({event.kind}) cannot follow there")
