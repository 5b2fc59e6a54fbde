"""Ed25519 identities, and the roster of members that every hospital keeps its own copy of.

Rules:

1. A hospital's signing key is made on its own machine and never leaves it.
2. A signature covers ``collegium/v1/<domain>``, a line feed and the bytes, so
   that a signature given for one purpose is worth nothing for another.
3. The coordinator cannot add a member: a roster follows another only with the
   signatures of a quorum of the members before it. Otherwise it could enrol
   hospitals of its own until the others' updates stand alone.
4. A roster names the coordinator's signing key and the TLS root, so a member that
   signs it says whose rounds count. Within a chain of rosters they stay: other
   ones found another consortium.
5. A roster expires. A coordinator that withholds a newer one can keep a removed
   member in until then and no longer (a freeze attack: The Update
   Framework, section 1.5.2 and 5.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from protocol.codec import (
    DIGEST,
    MAX_SITES,
    SiteName,
    from_json,
    hex_bytes,
    integer,
    list_of,
    map_of,
    nested,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused, QuorumLost
from protocol.identity.timestamps import Time, read_time

#: The name under which the coordinator signs; no hospital may carry it.
COORDINATOR = "coordinator"
#: How long a roster is valid that is proposed today.
ROSTER_LIFE = timedelta(days=365)
#: How long before its end people are reminded to renew it.
ROSTER_WARNING = timedelta(days=30)
#: For how long ahead, at most, a hospital signs a roster.
MAX_ROSTER_LIFE = ROSTER_LIFE + timedelta(days=1)
_PREFIX = b"collegium/v1/"
_PUBLIC_KEY = text(r"[0-9a-f]{64}")


class SigningKey:
    """An Ed25519 private key. Its text form says nothing about it."""

    __slots__ = ("_key", "public")

    #: The (32 bytes) public key.
    public: bytes

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "SigningKey":
        """Returns a new key from the operating system's generator."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, data: bytes) -> "SigningKey":
        """Returns the key held in 32 bytes; the inverse of ``to_bytes``.

        Raises:
            ValueError: there are not 32 bytes.
        """
        return cls(Ed25519PrivateKey.from_private_bytes(data))

    def to_bytes(self) -> bytes:
        """Returns the 32 secret bytes, for the hospital's own store."""
        return self._key.private_bytes_raw()

    def sign(self, domain: str, data: bytes) -> bytes:
        """Returns the 64-byte signature over the domain and the data.

        >>> key = SigningKey.from_bytes(bytes(32))
        >>> verify(key.public, "example", b"data", key.sign("example", b"data"))

        Source: RFC 8032, section 5.1.
        """
        return self._key.sign(signed_bytes(domain, data))

    def sign_raw(self, data: bytes) -> bytes:
        """Returns a signature over the bare bytes, where another standard asks for that (C2SP)."""
        return self._key.sign(data)


def signed_bytes(domain: str, data: bytes) -> bytes:
    r"""Returns exactly what a signature covers.

    >>> signed_bytes("advertise", b"{}")
    b'collegium/v1/advertise\n{}'

    Raises:
        ValueError: the domain holds a line feed, so that two domains could look alike.
    """
    if "\n" in domain:
        raise ValueError("a domain is one line")
    return _PREFIX + domain.encode() + b"\n" + data


def verify(public: bytes, domain: str, data: bytes, signature: bytes) -> None:
    """Checks a signature made by ``SigningKey.sign``.

    Raises:
        MessageRefused: it was not made with this key over this domain and data.
    """
    verify_raw(public, signed_bytes(domain, data), signature)


def verify_raw(public: bytes, data: bytes, signature: bytes) -> None:
    """Checks a signature made by ``SigningKey.sign_raw``.

    Raises:
        MessageRefused: it was not made with this key over this data.
    """
    try:
        _public_key(public).verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        raise MessageRefused("the signature is not valid for this key") from error


@lru_cache(maxsize=2 * MAX_SITES)
def _public_key(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


@dataclass(frozen=True, kw_only=True)
class Member:
    """One hospital's name and public identity key (64 hexadecimal digits)."""

    site: SiteName
    public_key: Annotated[str, _PUBLIC_KEY]

    def __post_init__(self) -> None:
        require_forms(self)
        if self.site == COORDINATOR:
            raise ValueError(f"no hospital may be called {COORDINATOR!r}")


@dataclass(frozen=True, kw_only=True)
class CoordinatorIdentity:
    """The coordinator's public signing key, and the SHA-256 of the consortium's TLS root.

    ``root`` is None in a simulation, where nothing crosses a line.
    """

    public_key: Annotated[str, _PUBLIC_KEY]
    root: Annotated[str | None, optional(DIGEST)]

    def __post_init__(self) -> None:
        require_forms(self)

    @property
    def key(self) -> bytes:
        """The 32-byte public signing key."""
        return bytes.fromhex(self.public_key)


@dataclass(frozen=True, kw_only=True)
class Roster:
    """The members of the consortium, sorted by name; names and keys are distinct.

    ``valid_until`` is when it expires; ``previous`` is the digest of the roster
    that this one follows.
    """

    coordinator: Annotated[CoordinatorIdentity, nested(CoordinatorIdentity)]
    members: Annotated[tuple[Member, ...], list_of(nested(Member), MAX_SITES)]
    valid_until: Time
    version: Annotated[int, integer(1, 2**31)] = 1
    previous: Annotated[str | None, optional(DIGEST)] = None

    def __post_init__(self) -> None:
        require_forms(self)
        names = [member.site for member in self.members]
        if not names or names != sorted(set(names)):
            raise ValueError("members must be sorted by site, each named once")
        if len({member.public_key for member in self.members}) != len(names):
            raise ValueError("two members have the same key")
        read_time(self.valid_until)

    @property
    def digest(self) -> str:
        """The roster's name: SHA-256 of its canonical bytes."""
        return digest(self.canonical_bytes)

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes that members sign; the inverse is ``parse_roster``."""
        return canonical(to_json(self))

    @property
    def sites(self) -> tuple[str, ...]:
        """The members' names, sorted."""
        return tuple(member.site for member in self.members)

    @property
    def quorum(self) -> int:
        """The number of members who must sign the next roster: floor(2n/3) + 1."""
        return 2 * len(self.members) // 3 + 1

    def key_of(self, site: str) -> bytes:
        """Returns a member's 32-byte public key.

        Raises:
            MessageRefused: no member has this name.
        """
        for member in self.members:
            if member.site == site:
                return bytes.fromhex(member.public_key)
        raise MessageRefused(f"site {site!r} is not in the roster")


def parse_roster(data: bytes) -> Roster:
    """Returns the roster held in canonical bytes.

    Raises:
        MessageRefused: the form is wrong, or members are not sorted and distinct.
    """
    return from_json(Roster, parse_canonical(data))


@dataclass(frozen=True, kw_only=True)
class SignedRoster:
    """A roster and its members' signatures over its canonical bytes, by site."""

    roster: Annotated[Roster, nested(Roster)]
    signatures: Annotated[Mapping[str, bytes], map_of(hex_bytes(64), MAX_SITES)]


def sign_roster(roster: Roster, key: SigningKey) -> bytes:
    """Returns one member's signature under a roster."""
    return key.sign("roster", roster.canonical_bytes)


def require_quorum(signed: SignedRoster, before: Roster) -> Roster:
    """Returns the new roster when enough members of the one before it have signed.

    Every signature counts once; a signature by nobody in ``before``, or a
    wrong one, spoils the whole document, so that nothing doubtful is kept. A
    member that stays gets another key only with a signature of its old one:
    who lost a key leaves in one roster and comes back in the next.

    Whether the roster has expired is another question: a chain is followed
    through rosters that have.

    Raises:
        MessageRefused: a signature is wrong or no member's, or the roster
            does not follow ``before``, or names another coordinator.
        QuorumLost: fewer than floor(2n/3) + 1 of the n members have signed,
            or a member whose key changes has not.
    """
    roster = signed.roster
    if (roster.version, roster.previous) != (before.version + 1, before.digest):
        raise MessageRefused(f"roster {roster.version} does not follow roster {before.version}")
    if roster.coordinator != before.coordinator:
        raise MessageRefused(
            f"roster {roster.version} names another coordinator's key or TLS root than roster "
            f"{before.version}: that is another consortium"
        )
    for site, signature in signed.signatures.items():
        verify(before.key_of(site), "roster", roster.canonical_bytes, signature)
    if len(signed.signatures) < before.quorum:
        raise QuorumLost(
            f"{len(signed.signatures)} members signed roster {roster.version}, {before.quorum} must"
        )
    for member in roster.members:
        stays = member.site in before.sites and member.site not in signed.signatures
        if stays and before.key_of(member.site) != bytes.fromhex(member.public_key):
            raise QuorumLost(
                f"{member.site} has not signed roster {roster.version}, which gives it another key"
            )
    return roster


def require_founding(signed: SignedRoster) -> Roster:
    """Returns the first roster when every member that it names has signed it.

    There is no roster before it, so nobody can vouch for a member but all the
    members together.

    Raises:
        MessageRefused: it is not a first roster, or a signature is wrong or no member's.
        QuorumLost: a member has not signed.
    """
    roster = signed.roster
    if (roster.version, roster.previous) != (1, None):
        raise MessageRefused(f"roster {roster.version} follows another: it founds nothing")
    for site, signature in signed.signatures.items():
        verify(roster.key_of(site), "roster", roster.canonical_bytes, signature)
    if missing := sorted(set(roster.sites) - set(signed.signatures)):
        raise QuorumLost(f"the first roster is not signed by {', '.join(missing)}: all must")
    return roster
