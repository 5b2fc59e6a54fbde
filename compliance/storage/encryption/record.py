"""The record beside an encrypted model: decisions and openings, chained, the decisions signed.

Rules:

1. A line holds one event, canonical, and names the digest of the line before it. An event that was
   changed, moved or taken out of the middle breaks the chain; lines can only be added.
2. The first event seals the model. Sealing, re-wrapping and retiring are decisions: only whoever
   holds a trusted key makes one. A signature covers the chain so far, so the newest one stands for
   all before it: whoever signs has read them.
3. The generation of the header counts from 1 and rises by one with each re-wrap. A header of an
   earlier one is refused.
4. Events after the last signature can be cut off, and a whole folder can be put back to an older
   state: the record alone cannot show it. The consortium's log shows it, and ``--at-least``.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

from compliance.storage.encryption.age_keys import AGE_KEY, MAX_RECIPIENTS, Recipient
from protocol.codec import (
    Digest,
    FieldCodec,
    hex_bytes,
    integer,
    list_of,
    nested,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import Json, canonical
from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import Time

#: The domain of a signature under a decision; see ``protocol.identity.roster``.
DOMAIN = "encrypted-weights"
NOTHING_BEFORE = "0" * 64
_PLAIN = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"
_BY, _REASON = text(rf"{_PLAIN}{{0,250}}"), text(rf"{_PLAIN}{{0,1000}}")


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
    by: Annotated[str, _BY] = ""
    manifest: Annotated[WeightsManifest | None, optional(nested(WeightsManifest))] = None
    recipient: Annotated[str | None, optional(AGE_KEY)] = None
    reason: Annotated[str, _REASON] = ""
    signer: Annotated[bytes | None, optional(hex_bytes(32))] = None

    def __post_init__(self) -> None:
        require_forms(self)
        has_manifest = self.kind in (WeightsEventKind.SEALED, WeightsEventKind.REWRAPPED)
        if has_manifest != (self.manifest is not None):
            raise ValueError("sealing and re-wrapping name a generation, and nothing else does")


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
