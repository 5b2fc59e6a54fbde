"""Statements of serving: which released models a hospital loaded to score, signed by the hospital.

Rules:

1. A statement covers the time from ``since`` to ``until``, and lists every model that the hospital
   loaded in it to score records. What it does not list was not loaded with this software.
2. A model is named by the digest of its signed snapshot. One that no snapshot names, such as the
   hospital's own, stands without a digest.
3. A hospital counts its statements. They follow each other, and no two cover the same time.
4. It names the coordinator's key: it is worth nothing in another consortium.
5. It is what the hospital says. That it says so is proven, what its systems did is not.
"""

from dataclasses import dataclass
from typing import Annotated

from protocol.codec import (
    DIGEST,
    Digest,
    SiteName,
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
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey, verify
from protocol.identity.timestamps import Time

#: The domain of a statement's signature; see ``protocol.identity.roster``.
_DOMAIN = "serving-statement"
#: Bytes of a signed statement at most.
MAX_STATEMENT = 1 << 17
#: So many periods stand in a statement at most; a hospital states a longer time in several.
MAX_PERIODS = 512
#: How a model is used: over HTTP, or on files; batches of one snapshot and day are one period.
SERVICE, BATCH = "service", "batch"
#: How a period ended: written down, not at all yet, or unknown since the last answer.
RECORDED, RUNNING, UNRECORDED = "recorded", "running", "unrecorded"
_USE = text(f"{SERVICE}|{BATCH}")
_END = text(f"{RECORDED}|{RUNNING}|{UNRECORDED}")


@dataclass(frozen=True, kw_only=True)
class ServedPeriod:
    """A time in which a model was loaded.

    Attributes:
        snapshot: the digest of its signed snapshot; None where no snapshot names it.
        use: ``service`` or ``batch``.
        since: when it was loaded, or the statement's ``since`` where that is later.
        until: when it was unloaded; where that was not written down, when it last answered; of one
            that is loaded still, the statement's ``until``.
        end: ``recorded``, ``unrecorded`` or ``running``.

    Raises:
        ValueError: a field has another form, or it ends before it begins.
    """

    snapshot: Annotated[str | None, optional(DIGEST)]
    use: Annotated[str, _USE]
    since: Time
    until: Time
    end: Annotated[str, _END]

    def __post_init__(self) -> None:
        require_forms(self)
        if self.until < self.since:
            raise ValueError("a period of serving ends before it begins")

    @property
    def place(self) -> tuple[str, str, str, str]:
        """The order of periods in a statement."""
        return self.since, self.until, self.snapshot or "", self.use


@dataclass(frozen=True, kw_only=True)
class ServingStatement:
    """A statement of what a hospital served in a time.

    Attributes:
        coordinator: the public key that signs the consortium's log.
        site: the hospital.
        number: counts this hospital's statements from 1.
        since, until: what it covers.
        periods: every model that was loaded in it, in order.
        head: the SHA-256 of the newest line of the hospital's own log of serving then.

    Raises:
        ValueError: a field has another form, or a period lies outside of what is covered.
    """

    coordinator: Digest
    site: SiteName
    number: Annotated[int, integer(1, 2**31)]
    since: Time
    until: Time
    periods: Annotated[tuple[ServedPeriod, ...], list_of(nested(ServedPeriod), MAX_PERIODS)]
    head: Digest

    def __post_init__(self) -> None:
        require_forms(self)
        if self.until < self.since:
            raise ValueError("a statement of serving ends before it begins")
        places = [one.place for one in self.periods]
        if places != sorted(set(places)):
            raise ValueError("a statement's periods stand in order, each once")
        for one in self.periods:
            if one.since < self.since or one.until > self.until:
                raise ValueError("a period lies outside of the time that its statement covers")
            if one.end == RUNNING and one.until != self.until:
                raise ValueError("what is loaded still is loaded until the statement's end")

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes that are signed."""
        return canonical(to_json(self))

    @property
    def digest(self) -> str:
        """The statement's name: the SHA-256 of its canonical bytes."""
        return digest(self.canonical_bytes)

    def at(self, time: str) -> tuple[ServedPeriod, ...] | None:
        """Returns what was loaded at a time; None where the statement does not cover it."""
        if not self.since <= time <= self.until:
            return None
        return tuple(one for one in self.periods if one.since <= time <= one.until)

    def overlaps(self, other: "ServingStatement") -> bool:
        """Whether both cover some time; that one begins when the other ends is no overlap."""
        if self.since == other.since:
            return True
        return self.since < other.until and other.since < self.until


@dataclass(frozen=True, kw_only=True)
class SignedServing:
    """A statement with the signature of the hospital's identity key over its canonical bytes."""

    statement: Annotated[ServingStatement, nested(ServingStatement)]
    signature: Annotated[bytes, hex_bytes(64)]

    def to_bytes(self) -> bytes:
        """Returns the statement as it travels; the inverse of ``parse_serving_statement``."""
        return canonical(to_json(self))

    def require_signed(self, public: bytes) -> None:
        """Checks the signature.

        Args:
            public: the hospital's key (32 bytes), as a trusted roster names it.

        Raises:
            MessageRefused: the hospital with this key did not sign it.
        """
        try:
            verify(public, _DOMAIN, self.statement.canonical_bytes, self.signature)
        except MessageRefused as error:
            raise MessageRefused(
                f"{self.statement.site} did not sign this statement of serving: {error}"
            ) from error


def sign_serving(statement: ServingStatement, key: SigningKey) -> SignedServing:
    """Returns a statement under a hospital's signature."""
    return SignedServing(
        statement=statement, signature=key.sign(_DOMAIN, statement.canonical_bytes)
    )


def parse_serving_statement(data: bytes) -> SignedServing:
    """Returns the signed statement that bytes hold; the signature is not verified here.

    Raises:
        MessageRefused: too large, or in another form.
    """
    if len(data) > MAX_STATEMENT:
        raise MessageRefused(f"a statement of serving has at most {MAX_STATEMENT} bytes")
    return from_json(SignedServing, parse_canonical(data))
