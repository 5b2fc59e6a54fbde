"""The record beside an encrypted model: decisions and openings, chained, the decisions signed.

Rules:

1. A line holds one event, canonical, and names the digest of the line before it. An event that was
   changed, moved or taken out of the middle breaks the chain; lines can only be added.
2. The first event seals the model. Sealing, re-wrapping and retiring are decisions: only whoever
   holds a trusted key makes one. A decision's signature covers the chain so far.
3. The generation of the header counts from 1 and rises by one with each re-wrap. A header of an
   earlier one is refused.
4. Events after the last signature can be cut off, and a whole folder can be put back to an older
   state: the record alone cannot show it. The consortium's log shows it, and ``--at-least``.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Annotated

from compliance.storage.encryption.age_keys import AGE_KEY, MAX_RECIPIENTS, Recipient
from protocol.codec import (
    Digest,
    FieldCodec,
    from_json,
    hex_bytes,
    integer,
    list_of,
    nested,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import Json, canonical, digest, parse_canonical
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey, verify
from protocol.identity.timestamps import Time

#: The domain of a signature under a decision; see ``protocol.identity.roster``.
DOMAIN = "encrypted-weights"
NOTHING_BEFORE = "0" * 64
_MAX_RECORD = 1 << 26
_PLAIN = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"


class WeightsEventKind(StrEnum):
    """A kind of event in the record of an encrypted model."""

    SEALED = "sealed"
    REWRAPPED = "rewrapped"
    RETIRED = "retired"
    OPENED = "opened"
    REFUSED = "refused"


#: What only whoever holds a trusted key writes down.
DECISIONS = frozenset(
    {WeightsEventKind.SEALED, WeightsEventKind.REWRAPPED, WeightsEventKind.RETIRED}
)


def _read_kind(value: Json) -> WeightsEventKind:
    if not isinstance(value, str) or value not in set(WeightsEventKind):
        raise MessageRefused(f"expected one of {', '.join(WeightsEventKind)}")
    return WeightsEventKind(value)


@dataclass(frozen=True, kw_only=True)
class WeightsManifest:
    """A generation of an encrypted model.

    Attributes:
        model: the digest of the model's parameters.
        payload: the SHA-256 of the payload, which no re-wrap changes; ``payload_bytes`` its size.
        header: the SHA-256 of the header of this generation.
        generation: counts headers from 1.
        recipients: those of the header, by name.
    """

    model: Digest
    payload: Digest
    payload_bytes: Annotated[int, integer(1, 2**53 - 1)]
    header: Digest
    generation: Annotated[int, integer(1, 2**31)]
    recipients: Annotated[tuple[Recipient, ...], list_of(nested(Recipient), MAX_RECIPIENTS)]

    def __post_init__(self) -> None:
        require_forms(self)
        names = [one.name for one in self.recipients]
        if not names or names != sorted({*names}):
            raise ValueError("recipients stand by their names, each once, and there is one")
        if len({one.key for one in self.recipients}) != len(names):
            raise ValueError("two recipients have the same key")


@dataclass(frozen=True, kw_only=True)
class WeightsEvent:
    """An event of the record.

    Attributes:
        number: counts events from 0.
        previous: the digest of the line before it.
        at: when.
        kind: what happened.
        by: the person who did it, where one is known; else empty.
        manifest: the new generation, of sealing and re-wrapping; else None.
        recipient: the public key that an opening was asked with; else None.
        reason: why, of a decision; what was refused, of a refusal.
        signer: the public key under whose signature it stands; None where it is unsigned.
    """

    number: Annotated[int, integer(0, 2**31)]
    previous: Digest
    at: Time
    kind: Annotated[WeightsEventKind, FieldCodec(write=str, read=_read_kind)]
    by: Annotated[str, text(rf"{_PLAIN}{{0,250}}")] = ""
    manifest: Annotated[WeightsManifest | None, optional(nested(WeightsManifest))] = None
    recipient: Annotated[str | None, optional(AGE_KEY)] = None
    reason: Annotated[str, text(rf"{_PLAIN}{{0,1000}}")] = ""
    signer: Annotated[bytes | None, optional(hex_bytes(32))] = None

    def __post_init__(self) -> None:
        require_forms(self)
        has_manifest = self.kind in (WeightsEventKind.SEALED, WeightsEventKind.REWRAPPED)
        if has_manifest != (self.manifest is not None):
            raise ValueError("sealing and re-wrapping name a generation, and nothing else does")


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


def line_of(event: WeightsEvent, key: SigningKey | None) -> bytes:
    """Returns an event's line, signed where a key is given.

    Raises:
        ValueError: a decision without a key.
    """
    if key is None and event.kind in DECISIONS:
        raise ValueError("a decision is signed")
    signer = None if key is None else key.public
    said = to_json(replace(event, signer=signer))
    signature = None if key is None else key.sign(DOMAIN, canonical(said)).hex()
    return canonical({"event": said, "signature": signature}) + b"\n"


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
    head = NOTHING_BEFORE
    for line in data.split(b"\n")[:-1]:
        event = _read_line(line, trusted)
        if (event.number, event.previous) != (len(events), head):
            raise StoreBroken(
                f"event {len(events)} of the record does not follow the one before it: the record "
                "was changed. Restore it from a backup"
            )
        _require_follows(events, event, model)
        events.append(event)
        head = digest(line + b"\n")
    if not events:
        raise StoreBroken("the record of openings is empty: restore it from a backup")
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
        verify(event.signer, DOMAIN, canonical(said["event"]), signature)
    elif event.kind in DECISIONS:
        raise MessageRefused(f"the record says {event.kind} without a signature")
    return event


def _require_follows(events: Sequence[WeightsEvent], event: WeightsEvent, model: str) -> None:
    """Refuses a decision that does not follow from the events before it.

    Raises:
        StoreBroken: it does not.
    """
    before = [one.manifest for one in events if one.manifest is not None]
    new = event.manifest
    is_first = event.kind is WeightsEventKind.SEALED
    wrong = is_first != (not events)
    if new is not None:
        generation = before[-1].generation + 1 if before else 1
        wrong |= (new.model, new.generation) != (model, generation)
        wrong |= bool(before) and (new.payload, new.payload_bytes) != (
            before[-1].payload,
            before[-1].payload_bytes,
        )
    is_over = any(one.kind is WeightsEventKind.RETIRED for one in events)
    wrong |= is_over and event.kind is not WeightsEventKind.REFUSED
    if wrong:
        raise StoreBroken(f"event {event.number} of the record ({event.kind}) cannot follow there")
