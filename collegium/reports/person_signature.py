"""Signatures under reports by the registered keys of a consortium's people.

Rules:

1. The key is the person's own, the one that signs their acts. A certificate that it signs itself
   says whose it is and from when to when it is registered; made again, it is the same.
2. Who may believe it: whoever has the folder. ``report verify --out`` looks the key up among the
   people who were registered there when the report was signed, so nobody need trust a certificate.
3. The act ``report.sign`` stands in the log before the signature is made. It names the digest of
   the file as it was before this signature.

A signature of a PDF covers bytes that begin otherwise than those of an act (``signed_bytes``): none
of the two can be taken for the other.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from collegium.extras import require_extra
from collegium.reports.signing import SignatureFound, signed_file, signed_with
from compliance.governance.acts import ActRequest
from compliance.governance.people import Person, same_name
from coordinator.runs.person_acts import record_act
from coordinator.views.views import Views, open_views
from protocol.encoding import digest
from protocol.errors import PolicyRefused, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import read_time, write_time

#: The longest name that a certificate holds (RFC 5280, appendix A.1).
_MAX_COMMON_NAME = 64


def sign_as_person(pdf: bytes, key: SigningKey, person: Person) -> bytes:
    """Returns a PDF with one more signature, by a person's registered key.

    Args:
        pdf: the file, which stays in what is returned byte for byte.
        key: the person's.
        person: their record as it is registered now.

    Raises:
        WorkspaceRefused: it is no PDF, or pyHanko is not installed.
        PolicyRefused: the key is another than the person's, has expired, or may not act.
    """
    require_extra("reports")
    if not pdf.startswith(b"%PDF-"):
        raise WorkspaceRefused("only a PDF is signed: report export --format pdf writes one")
    if key.public.hex() != person.public_key:
        raise PolicyRefused(f"this key is not the one that {person.name} is registered with")
    person.require_usable(write_time(datetime.now(UTC)))
    from asn1crypto.keys import PrivateKeyInfo
    from asn1crypto.x509 import Certificate
    from pyhanko.sign import signers
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    private = Ed25519PrivateKey.from_private_bytes(key.to_bytes())
    certificate = person_certificate(private, person)
    no_others: Callable[[], Any] = SimpleCertificateStore
    signer = signers.SimpleSigner(
        signing_cert=Certificate.load(certificate.public_bytes(Encoding.DER)),
        signing_key=PrivateKeyInfo.load(
            private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        ),
        cert_registry=no_others(),
    )
    return signed_with(pdf, signer, person.name, ", ".join(sorted(person.roles)))


def person_certificate(private: Ed25519PrivateKey, person: Person) -> x509.Certificate:
    """Returns the certificate of a registered key, signed by itself; the same every time."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, person.name[:_MAX_COMMON_NAME]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Collegium consortium"),
        ]
    )
    said = f"{person.public_key} {person.name} {person.since} {person.expires}"
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(int(digest(said.encode())[:38], 16) or 1)
        .not_valid_before(read_time(person.since).replace(microsecond=0))
        .not_valid_after(read_time(person.expires).replace(microsecond=0))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_FOR_SIGNATURES, critical=True)
    )
    return builder.sign(private, algorithm=None)


_FOR_SIGNATURES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def sign_report_as(file: Path, out: Path, key: SigningKey, to: Path | None) -> tuple[Path, str]:
    """Writes a report's PDF with one more signature, by one of a folder's people.

    Args:
        file: a PDF.
        out: the folder of runs, in which the person is registered.
        key: the person's.
        to: the file to write; beside it with ``-signed`` in its name when None.

    Returns:
        Where it is, and what is told of the act.

    Raises:
        PolicyRefused: nobody is registered under the key, or the person may not sign.
        WorkspaceRefused: it is no PDF, nothing can be logged, or pyHanko is not installed.
    """
    data, target = signed_file(file, to)
    person = _registered(out, key)
    signed = sign_as_person(data, key, person)  # before the act: what cannot be done is not logged
    request = ActRequest(
        action="report.sign", subject_kind="report", subject=file.name[:300],
        details={"format": "pdf", "sha256": digest(data)},
    )  # fmt: skip
    recorded = record_act(out, request, key)
    if recorded.act is None:
        raise WorkspaceRefused(f"nothing was signed: {recorded.note}")
    try:
        target.write_bytes(signed)
    except OSError as error:
        raise WorkspaceRefused(f"{target} cannot be written: {error.strerror}") from error
    return target, f"signed by {person.name}; {recorded.note}"


def _registered(out: Path, key: SigningKey) -> Person:
    with closing(open_views(out)) as views:
        people = views.governance().people
    found = next((one for one in people if one.public_key == key.public.hex()), None)
    if found is None:
        raise PolicyRefused("nobody is registered under this key: collegium people list")
    return found


def with_registered(
    out: Path, found: SignatureFound, before: bytes | None
) -> tuple[SignatureFound, str | None]:
    """Returns a signature with whose registered key it is, and a fault, if there is one.

    In a folder with people a key that is nobody's is told as that. With the name of one of them it
    is a fault, unless its certificate is trusted.

    Args:
        out: the folder, whose people are looked up.
        found: the signature.
        before: the file as it was before it; None where that is not known.
    """
    with closing(open_views(out)) as views:
        seen = views.governance()
        records = [
            one for one in (*seen.people, *seen.former) if one.public_key == found.public_key
        ]
        if not records:
            return _nobodys(found, [*seen.people, *seen.former])
        return _judged(views, found, records, None if before is None else digest(before))


def _nobodys(found: SignatureFound, people: Sequence[Person]) -> tuple[SignatureFound, str | None]:
    found = replace(found, unregistered=bool(people))
    names = [one.name for one in people if same_name(one.name) == same_name(found.name)]
    if not names or not found.is_nobodys:
        return found, None
    return found, (
        f"NOT BY {names[-1]}: a person of this name is registered, under another key. If the "
        "certificate is theirs, too, give it with --trust"
    )


def _judged(
    views: Views, found: SignatureFound, records: list[Person], sha256: str | None
) -> tuple[SignatureFound, str | None]:
    name = records[0].name
    if found.name != name:
        return found, f"NOT BY {found.name}: the key of the signature is registered for {name}"
    then = [one for one in records if _held_at(one, found.time)]
    if not then:
        return found, f"NOT REGISTERED THEN: the key of {name} was not good at {found.signed_at}"
    person = then[-1]
    until = person.until or person.expires
    told = (
        f"by the key under which {name} ({', '.join(sorted(person.roles))}) is registered from "
        f"{person.since[:10]} to {until[:10]}"
    )
    if sha256 is not None:
        told += f"; {_logged(views, name, sha256)}"
    return replace(found, registered=told), None


def _logged(views: Views, name: str, sha256: str) -> str:
    """Returns whether the log has the act by which a person signed a file."""
    acts = [
        act
        for act in views.acts(person=name)
        if act.action == "report.sign"
        and act.outcome in ("done", "allowed")
        and act.details.get("sha256") == sha256
    ]
    if not acts:
        return "the log has no act that says so: it was signed past this folder"
    return f"act {acts[-1].number} of the log says so"


def _held_at(person: Person, time: datetime | None) -> bool:
    """Whether a record held at a time that a signature tells, to the second."""
    if time is None:
        return False
    told = (person.until, person.expires, person.suspended)
    ends = [read_time(one) for one in told if one is not None]
    return read_time(person.since).replace(microsecond=0) <= time <= min(ends)
