"""Lines of the log of serving: one event each, chained and signed; and how they are read back."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from protocol.codec import (
    DIGEST,
    Digest,
    FieldCodec,
    from_json,
    hex_bytes,
    integer,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import Json, canonical, digest, parse_canonical
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import SigningKey, verify
from protocol.identity.timestamps import TIME, Time

#: The domain of a line's signature; see ``protocol.identity.roster``.
_DOMAIN = "serving-log"
#: What the first line names as the one before it.
NOTHING_BEFORE = "0" * 64
_PLAIN = text(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,250}")
_PLACE = integer(0, 2**53 - 1)


class ServingEventKind(StrEnum):
    """A kind of event in the log of serving."""

    BEGAN = "began"
    ENDED = "ended"
    CUT_OFF = "cut-off"
    STATED = "stated"


_KINDS = {kind.value: kind for kind in ServingEventKind}


def _read_kind(value: Json) -> ServingEventKind:
    if not isinstance(value, str) or value not in _KINDS:
        raise MessageRefused(f"expected one of {', '.join(_KINDS)}")
    return _KINDS[value]


@dataclass(frozen=True, kw_only=True)
class ServingEvent:
    """A line of the log.

    Attributes:
        number: counts lines from 0.
        previous: the SHA-256 of the line before; zeros in the first.
        time: when it was written (UTC); of a beginning, when the model was loaded.
        kind: what happened.
        began: of an end, the number of the line that began the period; else None.
        snapshot, model, run: of a beginning: the digest of the signed snapshot (None where none
            names the model), that of the parameters, the run.
        use: of a beginning: ``service`` or ``batch``.
        source: of a beginning: the folder, or that it is a run which the hospital keeps.
        since, until: of a statement, what it covers; ``until`` of a period that was cut off is the
            last time at which it is known to have served.
        statement: of a statement, its digest.

    Raises:
        ValueError: a field has another form, or is of another kind of event.
    """

    number: Annotated[int, _PLACE]
    previous: Digest
    time: Time
    kind: Annotated[ServingEventKind, FieldCodec(write=str, read=_read_kind)]
    began: Annotated[int | None, optional(_PLACE)] = None
    snapshot: Annotated[str | None, optional(DIGEST)] = None
    model: Annotated[str | None, optional(DIGEST)] = None
    run: Annotated[str, _PLAIN] = ""
    use: Annotated[str, text("service|batch|")] = ""
    source: Annotated[str, _PLAIN] = ""
    since: Annotated[str | None, optional(TIME)] = None
    until: Annotated[str | None, optional(TIME)] = None
    statement: Annotated[str | None, optional(DIGEST)] = None

    def __post_init__(self) -> None:
        require_forms(self)
        is_end = self.kind in (ServingEventKind.ENDED, ServingEventKind.CUT_OFF)
        is_statement = self.kind is ServingEventKind.STATED
        if (
            (self.began is not None) != is_end
            or (self.model is not None) != (self.kind is ServingEventKind.BEGAN)
            or (self.statement is not None) != is_statement
            or (self.since is not None) != is_statement
            or (self.until is not None) != (is_statement or self.kind is ServingEventKind.CUT_OFF)
        ):
            raise ValueError("an event of serving holds what its kind says, and nothing else")


@dataclass(frozen=True, kw_only=True)
class ServingEvents:
    """The verified lines of a log: ``head`` is the newest one's SHA-256, ``length`` their bytes."""

    events: tuple[ServingEvent, ...]
    head: str
    length: int


def line_of(event: ServingEvent, key: SigningKey) -> bytes:
    """Returns an event's line, signed."""
    said = to_json(event)
    signature = key.sign(_DOMAIN, canonical(said))
    return canonical(
        {"event": said, "signature": signature.hex(), "signer": key.public.hex()}
    ) + b"\n"  # fmt: skip


def read_events(data: bytes, trusted: Collection[bytes]) -> ServingEvents:
    """Returns the events in a log's bytes, each line checked.

    Bytes after the last line feed are of a line that was cut off: it was never written. A signature
    covers the chain so far, so the newest one stands for all.

    Args:
        data: the file.
        trusted: public keys (32 bytes) of which one signs each line.

    Raises:
        StoreBroken: a line was changed, removed or added, or is signed by somebody else.
    """
    events: list[ServingEvent] = []
    head, length = NOTHING_BEFORE, 0
    begun: set[int] = set()
    signed: tuple[bytes, bytes, bytes] | None = None
    for line in data.split(b"\n")[:-1]:
        event, signer, signature = _read_line(line, len(events) + 1)
        wrong = (event.number, event.previous) != (len(events), head) or signer not in trusted
        wrong |= bool(events) and event.time < events[-1].time
        wrong |= event.began is not None and event.began not in begun
        if wrong:
            raise StoreBroken(
                f"line {len(events) + 1} of the log of serving does not follow the line before it: "
                "a line was changed, added or removed, or signed by somebody else"
            )
        if event.model is not None:
            begun.add(event.number)
        elif event.began is not None:
            begun.remove(event.began)
        events.append(event)
        signed = signer, canonical(to_json(event)), signature
        head, length = digest(line + b"\n"), length + len(line) + 1
    if signed is not None:
        _require_signed(*signed)
    return ServingEvents(events=tuple(events), head=head, length=length)


def read_newest(data: bytes, trusted: Collection[bytes]) -> tuple[ServingEvent, bytes] | None:
    """Returns the last whole line of a log's last bytes, its signature checked; None without one.

    That is enough to add a line; whoever reads the log checks all (``read_events``).

    Raises:
        StoreBroken: it is no line, or is signed by somebody else.
    """
    whole = data[: data.rfind(b"\n") + 1]
    if not whole:
        return None
    line = whole[whole.rfind(b"\n", 0, -1) + 1 : -1]
    event, signer, signature = _read_line(line, None)
    if signer not in trusted:
        raise StoreBroken("the newest line of the log of serving is signed by somebody else")
    _require_signed(signer, canonical(to_json(event)), signature)
    return event, line + b"\n"


def _require_signed(signer: bytes, said: bytes, signature: bytes) -> None:
    try:
        verify(signer, _DOMAIN, said, signature)
    except MessageRefused as error:
        raise StoreBroken(
            "the newest line of the log of serving is not signed by this hospital"
        ) from error


def _read_line(line: bytes, number: int | None) -> tuple[ServingEvent, bytes, bytes]:
    try:
        said = parse_canonical(line)
        if not isinstance(said, dict) or said.keys() != {"event", "signature", "signer"}:
            raise MessageRefused("a line holds an event, its signature and its signer")
        return (
            from_json(ServingEvent, said["event"]),
            hex_bytes(32).read(said["signer"]),
            hex_bytes(64).read(said["signature"]),
        )
    except MessageRefused as error:
        which = "the newest line" if number is None else f"line {number}"
        raise StoreBroken(f"{which} of the log of serving is none: {error}") from error
