"""Signatures of people under a report's PDF, made and validated by pyHanko.

A signature is an incremental update of the file: what was signed stays in it byte for byte.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from collegium.extras import require_extra
from compliance.storage.atomic_file import read_named
from protocol.errors import MessageRefused, WorkspaceRefused

#: Bytes of a report with signatures, and of a key or certificate, at most.
_MOST, _MOST_PEM = 1 << 28, 1 << 20
_MOST_LETTERS = 200


@dataclass(frozen=True, kw_only=True)
class SignatureFound:
    """One signature under a PDF, as it was validated.

    ``trusted`` is None where no certificate was given to trust. ``whole`` says that nothing was
    changed after it but further signatures, ``last`` that it covers the file to its end, which is
    at byte ``end``. ``public_key`` is the certificate's where it is an Ed25519 key, in hexadecimal,
    else empty; ``registered`` says whose it is in a folder of runs, empty where nobody looked or
    nobody's; ``unregistered`` that it is nobody's of the people there. ``time`` is ``signed_at``,
    None where none is told.
    """

    name: str
    role: str
    signed_at: str
    certificate: str
    intact: bool
    valid: bool
    trusted: bool | None
    whole: bool
    expired: bool
    last: bool
    end: int = 0
    public_key: str = ""
    registered: str = ""
    unregistered: bool = False
    time: datetime | None = None

    @property
    def holds(self) -> bool:
        """Whether it is a signature of what is there, by whoever has the certificate's key."""
        return self.intact and self.valid and self.whole and self.trusted is not False

    @property
    def is_nobodys(self) -> bool:
        """Whether its key is neither a registered person's nor that of a trusted certificate."""
        return self.unregistered and self.trusted is not True

    @property
    def sentence(self) -> str:
        """The signature in words; what its maker wrote stands after what was found out about it."""
        said = self._said
        return f"NOT BY A REGISTERED KEY: {said}" if self.is_nobodys and self.holds else said

    @property
    def _said(self) -> str:
        role = "" if self.registered else self.role
        who = f"{self.name}{f', {role}' if role else ''}"
        if not self.intact:
            return f"BROKEN: the file was changed under the signature of {who}"
        if not self.valid:
            return f"BROKEN: the signature of {who} is not by the key of its certificate"
        said = f"signed by {who} at {self.signed_at} (their own clock), {self.certificate}"
        trust = {
            None: self.registered
            or "whether to trust the certificate was not checked: give --trust",
            True: "the certificate is one that you trust",
            False: "NOT TRUSTED: the certificate is none that you trust",
        }[self.trusted]
        late = "; the certificate has expired since, or is not valid yet" if self.expired else ""
        changed = "" if self.whole else "; CHANGED after this signature"
        return f"{said}; {trust}{late}{changed}"


def sign_report(
    file: Path, key: Path, certificate: Path, to: Path | None, *, name: str, role: str
) -> Path:
    """Writes a PDF with one more signature; returns where.

    Args:
        file: a PDF.
        key: the private key: P-256 or Ed25519, PEM, without a passphrase.
        certificate: its certificate, PEM.
        to: the file to write; beside it with ``-signed`` in its name when None.
        name: the person who signs.
        role: in which role.

    Raises:
        WorkspaceRefused: it is no PDF, key and certificate do not belong together, or the
            certificate is not valid now; or pyHanko is not installed.
    """
    data, target = signed_file(file, to)
    _require_pair(key, certificate)
    signed = _signed(data, key, certificate, name, role)
    try:
        target.write_bytes(signed)
    except OSError as error:
        raise WorkspaceRefused(f"{target} cannot be written: {error.strerror}") from error
    return target


def signed_file(file: Path, to: Path | None) -> tuple[bytes, Path]:
    """Returns the PDF that is to be signed, and where it is written signed.

    Raises:
        WorkspaceRefused: it is no PDF, or pyHanko is not installed.
    """
    require_extra("reports")
    data = read_named(file, "FILE", _MOST)
    if not data.startswith(b"%PDF-"):
        raise WorkspaceRefused(f"{file} is no PDF: sign what report export --format pdf wrote")
    return data, to or file.with_name(f"{file.stem}-signed.pdf")


def _require_pair(key: Path, certificate: Path) -> None:
    """Refuses a key that others can read or of another certificate, and one not valid now."""
    if key.exists() and key.stat().st_mode & 0o077:
        raise WorkspaceRefused(f"--key {key} can be read by others: chmod 600 {key}")
    try:
        private = load_pem_private_key(read_named(key, "--key", _MOST_PEM), None)
    except (ValueError, TypeError) as error:
        raise WorkspaceRefused(
            f"--key {key} is no private key as PEM without a passphrase"
        ) from error
    if not isinstance(private, EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise WorkspaceRefused(f"--key {key}: give a P-256 or an Ed25519 key")
    try:
        found = x509.load_pem_x509_certificate(read_named(certificate, "--cert", _MOST_PEM))
    except ValueError as error:
        raise WorkspaceRefused(f"--cert {certificate} is no certificate as PEM") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != found.public_key().public_bytes(*form):
        raise WorkspaceRefused(
            f"--key {key} is another key than that of --cert {certificate}: nothing was signed"
        )
    now = datetime.now(UTC)
    if now > found.not_valid_after_utc:
        raise WorkspaceRefused(
            f"--cert {certificate} expired on {found.not_valid_after_utc:%Y-%m-%d}: nothing was "
            "signed; ask for a new one"
        )
    if now < found.not_valid_before_utc:
        raise WorkspaceRefused(
            f"--cert {certificate} is valid from {found.not_valid_before_utc:%Y-%m-%d} on: nothing "
            "was signed; look at this machine's clock"
        )


def _signed(data: bytes, key: Path, certificate: Path, name: str, role: str) -> bytes:
    from pyhanko.sign import signers

    load: Callable[[str, str], Any] = signers.SimpleSigner.load
    signer = load(str(key), str(certificate))
    if signer is None:
        raise WorkspaceRefused(f"--key {key} and --cert {certificate} cannot be used to sign")
    return signed_with(data, signer, name, role)


def signed_with(data: bytes, signer: Any, name: str, role: str) -> bytes:
    """Returns a PDF with one more signature.

    Args:
        data: the PDF.
        signer: pyHanko's, with key and certificate.
        name: the person who signs.
        role: in which role.
    """
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import signers
    from pyhanko.sign.fields import SigFieldSpec, enumerate_sig_fields

    writer = IncrementalPdfFileWriter(BytesIO(data))
    number = 1 + sum(1 for _ in enumerate_sig_fields(writer))
    meta = signers.PdfSignatureMetadata(
        field_name=f"Signature{number}", name=name, reason=role, md_algorithm="sha512"
    )
    spec = SigFieldSpec(sig_field_name=f"Signature{number}")
    found: BytesIO = signers.sign_pdf(writer, meta, signer=signer, new_field_spec=spec)
    return found.getvalue()


def signatures_of(data: bytes, trusted: Sequence[Path]) -> tuple[SignatureFound, ...]:
    """Returns the signatures under a PDF, in order; none where nobody has signed.

    Args:
        data: the PDF.
        trusted: certificates that are trusted, as PEM; where none is given, trust is not checked.

    Raises:
        WorkspaceRefused: pyHanko is not installed, or a certificate is none.
        MessageRefused: the PDF was changed or damaged so that its signatures cannot be read.
    """
    require_extra("reports")
    logging.getLogger("pyhanko").setLevel(logging.CRITICAL)  # what it logs is in what is returned
    from pyhanko.keys import load_cert_from_pemder
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko_certvalidator import ValidationContext

    read: Callable[[str], Any] = load_cert_from_pemder
    try:
        roots = [read(str(path)) for path in trusted]
    except (OSError, ValueError) as error:
        raise WorkspaceRefused(f"--trust: no certificate as PEM: {error}") from error
    context = ValidationContext(
        trust_roots=roots, allow_fetching=False, moment=None, revocation_mode="soft-fail"
    )
    try:
        embedded = list(PdfFileReader(BytesIO(data)).embedded_signatures)
        return tuple(_validated(one, context, bool(roots), data) for one in embedded)
    except Exception as error:
        raise MessageRefused(
            "BROKEN: the PDF cannot be read as far as its signatures: it was changed or damaged "
            f"({error})"
        ) from error


def _validated(embedded: Any, context: Any, has_roots: bool, data: bytes) -> SignatureFound:
    from pyhanko.sign.diff_analysis import ModificationLevel
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko.sign.validation.status import SignatureCoverageLevel

    status = validate_pdf_signature(embedded, signer_validation_context=context)
    certificate = embedded.signer_cert
    validity = certificate["tbs_certificate"]["validity"]
    start, end = validity["not_before"].native, validity["not_after"].native
    level = status.modification_level
    return SignatureFound(
        name=_shown(embedded.sig_object.get("/Name", "")) or "somebody who gives no name",
        role=_shown(embedded.sig_object.get("/Reason", "")),
        signed_at=_time(embedded),
        certificate=_shown(certificate.subject.human_friendly),
        intact=bool(status.intact) and _is_as_written(embedded, data),
        valid=bool(status.valid),
        trusted=bool(status.trusted) if has_roots else None,
        whole=level is None or level <= ModificationLevel.FORM_FILLING,
        expired=not start <= datetime.now(UTC) <= end,
        last=status.coverage is SignatureCoverageLevel.ENTIRE_FILE,
        end=sum(map(int, list(embedded.sig_object["/ByteRange"])[2:])),
        public_key=_ed25519(certificate),
        time=_moment(embedded),
    )


def _shown(text: object) -> str:
    """Returns what the maker of a signature wrote, in one line of at most 200 letters."""
    letters = " ".join(str(text).split())[:_MOST_LETTERS]
    return "".join(one if one.isprintable() else "?" for one in letters)


def _ed25519(certificate: Any) -> str:
    """Returns a certificate's Ed25519 key in hexadecimal; empty where it has another kind."""
    key = certificate.public_key
    return bytes(key["public_key"].native).hex() if key.algorithm == "ed25519" else ""


def _moment(embedded: Any) -> datetime | None:
    found: datetime | None = embedded.self_reported_timestamp
    return None if found is None else found.astimezone(UTC)


def _is_as_written(embedded: Any, data: bytes) -> bool:
    """Whether the place of a signature, which none covers, holds one signature and then zeros."""
    from asn1crypto.cms import ContentInfo

    _, first, second, _ = map(int, embedded.sig_object["/ByteRange"])
    held = bytes(embedded.pkcs7_content)
    try:
        content = ContentInfo.load(held)
        signature = content.dump(force=True)
        is_named = _names_itself(content["content"])
    except (ValueError, LookupError, TypeError):
        return False
    zeros = bytes(len(held) - len(signature))
    written = b"<%s>" % held.hex().upper().encode()
    return is_named and held == signature + zeros and data[first:second] == written


def _names_itself(signed: Any) -> bool:
    """Whether the fields around a signature, which it does not cover, are what follows from it.

    Those are the versions and the list of digests (RFC 5652, sections 5.1 and 5.3).
    """
    (signer,) = signed["signer_infos"]
    version = "v1" if signer["sid"].name == "issuer_and_serial_number" else "v3"
    (digest,) = signed["digest_algorithms"]
    versions = {str(signer["version"].native), str(signed["version"].native)}
    return versions == {version} and bool(digest.dump() == signer["digest_algorithm"].dump())


def _time(embedded: Any) -> str:
    found = _moment(embedded)
    return found.strftime("%Y-%m-%d %H:%M:%S UTC") if found else "an unknown time"
