"""Targets around what a stranger or a hospital sends to join: invitations, requests, certificates.

Half of the signed records are signed again after they were spoilt, so that
what lies behind the signature is reached.
"""

import base64
from collections.abc import Callable
from random import Random
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from coordinator.membership.certificates import requested_key
from protocol.encoding import canonical, parse_canonical
from protocol.identity.roster import Member, SignedRoster, SigningKey, sign_roster
from protocol.transport.enrolment import (
    CertificateReply,
    EnrolmentInvitation,
    RosterNews,
    change_key,
    parse,
    parse_enrolment_request,
    parse_key_change,
    parse_renewal_request,
    request_enrolment,
    request_renewal,
    to_bytes,
)
from tests.long.fuzz.engine import Attempt, Broken, Make, Target
from tests.long.fuzz.mutations import spoil_bytes, spoil_tree
from tests.support.hospital.rosters import roster_with

_KEY, _NEXT = (SigningKey.from_bytes(bytes([number]) * 32) for number in (1, 2))


def _request() -> x509.CertificateSigningRequest:
    """The same bytes in every process, so that an input can be repeated by its number."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lyon")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    key = derive_private_key(7, SECP256R1())
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


_CSR = _request().public_bytes(Encoding.PEM).decode()
# The form of a certificate is checked here, what it certifies elsewhere.
_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
_INVITATION = EnrolmentInvitation(
    site="lyon",
    url="https://localhost:8443",
    enrol_url="https://localhost:8444",
    root=_CERTIFICATE,
    token=bytes(range(32)),
    expires="2000-01-01T00:00:00.000Z",
)


def _prepare(honest: Any, read: Callable[[bytes], Any], domain: str = "", *names: str) -> Make:
    """Spoils a record's bytes or tree; ``names`` are its signatures under the domain."""
    data, tree = to_bytes(honest), parse_canonical(to_bytes(honest))

    def make(random: Random) -> Attempt:
        if random.random() < 0.3:
            spoilt = spoil_bytes(random, data, [data])
        else:
            spoilt = spoil_tree(random, tree, [tree])
            if names and random.random() < 0.5:
                spoilt = _signed_again(spoilt, domain, *names)
        return Attempt(data=spoilt, act=lambda: _same(read(spoilt), spoilt))

    return make


def _signed_again(data: bytes, domain: str, *names: str) -> bytes:
    try:
        fields = parse_canonical(data)
    except Exception:  # noqa: BLE001 - what is no JSON is not signed
        return data
    if not isinstance(fields, dict):
        return data
    rest = {name: value for name, value in fields.items() if not name.endswith("signature")}
    keys = dict(zip(names, (_KEY, _NEXT), strict=False))
    said = canonical(rest)
    return canonical(rest | {name: key.sign(domain, said).hex() for name, key in keys.items()})


def _same(record: Any, data: bytes) -> None:
    if to_bytes(record) != data:
        raise Broken("what was read is written differently")


def _prepare_news() -> Make:
    members = (Member(site="lyon", public_key=_KEY.public.hex()),)
    first = roster_with(members)
    signed = SignedRoster(roster=first, signatures={"lyon": sign_roster(first, _KEY)})
    second = roster_with(members, version=2, previous=first.digest)
    proposed = SignedRoster(roster=second, signatures={})
    news = RosterNews(signed=(signed, signed), proposed=proposed)
    return _prepare(news, lambda data: parse(RosterNews, data))


def _prepare_csr() -> Make:
    whole = _request().public_bytes(Encoding.DER)

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, whole, [whole])
        if random.random() < 0.5 and len(data) == len(whole):
            data = bytes(a if random.random() < 0.99 else b for a, b in zip(whole, data))  # noqa: B905
        lines = base64.encodebytes(data).decode()
        pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}-----END CERTIFICATE REQUEST-----\n"
        return Attempt(data=data, act=lambda: requested_key(pem))

    return make


_REQUEST = request_enrolment(_INVITATION, _CSR, _KEY)

JOINING_TARGETS: tuple[Target, ...] = (
    Target(
        name="invitation",
        prepare=lambda: _prepare(_INVITATION, lambda data: parse(EnrolmentInvitation, data)),
    ),
    Target(
        name="enrolment",
        prepare=lambda: _prepare(_REQUEST, parse_enrolment_request, "enrol", "signature"),
    ),
    Target(
        name="enrolment-reply",
        prepare=lambda: _prepare(
            CertificateReply(chain=2 * _CERTIFICATE),
            lambda data: parse(CertificateReply, data),
        ),
    ),
    Target(
        name="renewal",
        prepare=lambda: _prepare(
            request_renewal("lyon", _CSR, _KEY),
            lambda data: parse_renewal_request(data, "lyon", _KEY.public),
            "renew",
            "signature",
        ),
    ),
    Target(
        name="key-change",
        prepare=lambda: _prepare(
            change_key("lyon", _KEY, _NEXT),
            lambda data: parse_key_change(data, "lyon", _KEY.public),
            "change-key",
            "old_signature",
            "new_signature",
        ),
    ),
    Target(name="roster-news", prepare=_prepare_news),
    Target(name="certificate-request", prepare=_prepare_csr),
)
