"""Enrolment in a consortium: invitation, enrolment, renewal, another key, the rosters.

Rules:

1. A name comes from the coordinator's invitation, never from what a hospital
   sends; a token is 256 random bits and good for one enrolment.
2. A record is signed with the identity key that it names. A
   token gives a certificate for TLS; a vote comes from the other members only
   (``roster.require_quorum``).

Source: ``docs/identity.md``, "How a hospital joins".
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from protocol.codec import (
    SiteName,
    from_json,
    hex_bytes,
    list_of,
    nested,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import canonical, parse_canonical
from protocol.errors import MessageRefused
from protocol.identity.roster import COORDINATOR, Member, SignedRoster, SigningKey, verify
from protocol.identity.timestamps import Time

#: How long an invitation is good for.
INVITATION_LIFE = timedelta(hours=72)
#: How long a hospital's certificate is good for.
SILO_LIFE = timedelta(days=7)
TOKEN_BYTES = 32
#: What a hospital's certificate says it is: this, then the site's name.
SILO_URI = "collegium://silo/"

_MAX_ROSTERS = 64
_BASE64_LINES = r"[A-Za-z0-9+/=\n]{1,6000}"
_PEM = rf"-----BEGIN CERTIFICATE-----\n{_BASE64_LINES}\n-----END CERTIFICATE-----\n"
_CERTIFICATE = text(_PEM)
_CHAIN = text(rf"(?:{_PEM}){{1,3}}")
_CSR = text(
    rf"-----BEGIN CERTIFICATE REQUEST-----\n{_BASE64_LINES}\n-----END CERTIFICATE REQUEST-----\n"
)
_PUBLIC_KEY = text(r"[0-9a-f]{64}")
_SIGNATURE = hex_bytes(64)
_URL = text(r"https://[!-~]{1,200}")
_UNSIGNED = bytes(64)

R = TypeVar("R")


def renewal_due(not_before: datetime, not_after: datetime, now: datetime) -> bool:
    """Whether two thirds of a certificate's life are past."""
    return 3 * (now - not_before) >= 2 * (not_after - not_before)


@dataclass(frozen=True, kw_only=True)
class EnrolmentInvitation:
    """An invitation of one hospital, handed over by a trusted way: the file ``SITE.invitation``.

    ``url`` is where the coordinator serves hospitals, ``enrol_url`` where this
    one enrols. ``root`` is the certificate that it will trust, and no other. It
    also names the coordinator's signing key (``consortium_root``), so that its
    fingerprint, which people compare, covers both.
    """

    site: SiteName
    url: Annotated[str, _URL]
    enrol_url: Annotated[str, _URL]
    root: Annotated[str, _CERTIFICATE]
    token: Annotated[bytes, hex_bytes(TOKEN_BYTES)] = field(repr=False)
    expires: Time

    def __post_init__(self) -> None:
        require_forms(self)
        _require_hospital(self.site)


def next_port(url: str) -> str:
    """Returns where enrolments are taken unless it is said otherwise: beside the hospitals' port.

    >>> next_port("https://collegium.example.org:8443"), next_port("https://[::1]")
    ('https://collegium.example.org:8444', 'https://[::1]:444')

    Raises:
        ValueError: it is no address.
    """
    found = urlsplit(url)
    host = found.hostname or ""
    return f"https://{f'[{host}]' if ':' in host else host}:{(found.port or 443) + 1}"


@dataclass(frozen=True, kw_only=True)
class EnrolmentRequest:
    """Token, certificate request and identity key; signed with that key over all the rest."""

    site: SiteName
    token: Annotated[bytes, hex_bytes(TOKEN_BYTES)] = field(repr=False)
    csr: Annotated[str, _CSR]
    public_key: Annotated[str, _PUBLIC_KEY]
    signature: Annotated[bytes, _SIGNATURE] = _UNSIGNED

    def __post_init__(self) -> None:
        require_forms(self)
        _require_hospital(self.site)

    @property
    def member(self) -> Member:
        """The hospital as a member of a roster."""
        return Member(site=self.site, public_key=self.public_key)


def request_enrolment(
    invitation: EnrolmentInvitation, csr: str, key: SigningKey
) -> EnrolmentRequest:
    """Returns the request that accepts an invitation."""
    drawn = EnrolmentRequest(
        site=invitation.site,
        token=invitation.token,
        csr=csr,
        public_key=key.public.hex(),
    )
    return replace(drawn, signature=key.sign("enrol", _rest(drawn)))


def parse_enrolment_request(data: bytes) -> EnrolmentRequest:
    """Returns the request in these bytes; its signature is checked, its token is not.

    Raises:
        MessageRefused: the form is wrong, or the signature is not the identity key's.
    """
    request = parse(EnrolmentRequest, data)
    public = bytes.fromhex(request.public_key)
    verify(public, "enrol", _rest(request), request.signature)
    return request


@dataclass(frozen=True, kw_only=True)
class RenewalRequest:
    """Asks for a new certificate under the same name; signed with the identity key."""

    site: SiteName
    csr: Annotated[str, _CSR]
    signature: Annotated[bytes, _SIGNATURE] = _UNSIGNED


@dataclass(frozen=True, kw_only=True)
class CertificateReply:
    """A hospital's new certificate, and the one that issued it."""

    chain: Annotated[str, _CHAIN]


def request_renewal(site: str, csr: str, key: SigningKey) -> RenewalRequest:
    """Returns a hospital's signed request."""
    drawn = RenewalRequest(site=site, csr=csr)
    return replace(drawn, signature=key.sign("renew", _rest(drawn)))


def parse_renewal_request(data: bytes, site: str, public: bytes) -> RenewalRequest:
    """Returns the request in these bytes.

    Raises:
        MessageRefused: the form is wrong, it is another site's, or not signed with this key.
    """
    request = parse(RenewalRequest, data)
    if request.site != site:
        raise MessageRefused(f"{site} asks for a certificate of {request.site}")
    verify(public, "renew", _rest(request), request.signature)
    return request


@dataclass(frozen=True, kw_only=True)
class KeyChange:
    """A member's next identity key, signed with the old one and with the new one.

    It counts from the roster that names the new key, which the member must
    have signed with the old one (``roster.require_quorum``).
    """

    site: SiteName
    before: Annotated[str, _PUBLIC_KEY]
    after: Annotated[str, _PUBLIC_KEY]
    old_signature: Annotated[bytes, _SIGNATURE] = _UNSIGNED
    new_signature: Annotated[bytes, _SIGNATURE] = _UNSIGNED


def change_key(site: str, before: SigningKey, after: SigningKey) -> KeyChange:
    """Returns the announcement of a new key."""
    drawn = KeyChange(site=site, before=before.public.hex(), after=after.public.hex())
    said = _rest(drawn)
    return replace(
        drawn,
        old_signature=before.sign("change-key", said),
        new_signature=after.sign("change-key", said),
    )


def parse_key_change(data: bytes, site: str, public: bytes) -> KeyChange:
    """Returns the announcement in these bytes.

    Raises:
        MessageRefused: the form is wrong, it is another site's, the old key is
            not ``public``, both keys are the same, or a signature is wrong.
    """
    change = parse(KeyChange, data)
    if change.site != site:
        raise MessageRefused(f"{site} announces a key of {change.site}")
    if change.before != public.hex() or change.after == change.before:
        raise MessageRefused(f"{site} must announce another key than its own, and name its own")
    verify(public, "change-key", _rest(change), change.old_signature)
    verify(bytes.fromhex(change.after), "change-key", _rest(change), change.new_signature)
    return change


@dataclass(frozen=True, kw_only=True)
class RosterNews:
    """The signed rosters that a hospital has not seen, in order, and the one to be signed."""

    signed: Annotated[tuple[SignedRoster, ...], list_of(nested(SignedRoster), _MAX_ROSTERS)]
    proposed: Annotated[SignedRoster | None, optional(nested(SignedRoster))] = None


def to_bytes(record: Any) -> bytes:
    """Returns a record's canonical bytes; the inverse of ``parse``."""
    return canonical(to_json(record))


def parse(record: type[R], data: bytes) -> R:
    """Returns the record in these bytes.

    Raises:
        MessageRefused: the form is wrong.
    """
    return from_json(record, parse_canonical(data))


def _rest(record: Any) -> bytes:
    """Returns what a record's signatures cover: everything but themselves."""
    fields = to_json(record)
    return canonical({name: fields[name] for name in fields if not name.endswith("signature")})


def _require_hospital(site: str) -> None:
    if site == COORDINATOR:
        raise ValueError(f"no hospital may be called {COORDINATOR!r}")
