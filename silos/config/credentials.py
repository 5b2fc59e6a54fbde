"""A hospital's TLS credentials: key, certificate, and the one root that it trusts.

::

    HOME/tls/root.pem     the consortium's root, from the invitation; names the coordinator's key
    HOME/tls/silo.key     made here, never leaves (mode 0600)
    HOME/tls/silo.pem     the certificate and the one that issued it; renewed within a week

Rules:

1. Nothing but the consortium's root is trusted, whatever the machine trusts.
2. A certificate is kept only when it is for this hospital's name and key and
   the root vouches for it. It replaces the one before it whole or not at all.
3. The key stays when the certificate is renewed, for two files cannot be
   replaced as one. Another key: remove silo.key and silo.pem, enrol again.
"""

import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from compliance.storage.atomic_file import write_whole
from compliance.storage.clock import Clock, utc_now
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken, WorkspaceRefused
from protocol.identity.consortium_root import UNREADABLE, coordinator_of
from protocol.identity.roster import CoordinatorIdentity
from protocol.transport.enrolment import SILO_URI, EnrolmentInvitation, parse, renewal_due


class Credentials:
    """The keys and certificates in ``HOME/tls``.

    Args:
        folder: ``HOME/tls``; made, for its owner alone, with the first key.
        site: the hospital's name.
        clock: says what time it is.
    """

    def __init__(self, folder: Path, site: str, clock: Clock = utc_now) -> None:
        self._site, self._clock = site, clock
        self._folder = folder
        self._root_file = folder / "root.pem"
        self._key_file = folder / "silo.key"
        self._chain_file = folder / "silo.pem"

    @property
    def enrolled(self) -> bool:
        """Whether a certificate was ever kept."""
        return self._chain_file.is_file()

    @property
    def expires(self) -> datetime:
        """The time at which the certificate expires."""
        return self._certificate.not_valid_after_utc

    @property
    def left(self) -> timedelta:
        """The time until the certificate expires; below zero when it has expired."""
        return self.expires - self._clock()

    @property
    def expired(self) -> bool:
        """Whether the certificate has expired: a new invitation is needed."""
        return self.left <= timedelta(0)

    @property
    def due(self) -> bool:
        """Whether two thirds of the certificate's life are past, so that it is to be renewed."""
        found = self._certificate
        return renewal_due(found.not_valid_before_utc, found.not_valid_after_utc, self._clock())

    def request(self) -> str:
        """Returns a certificate request for this hospital's key, which is made if there is none.

        Raises:
            WorkspaceRefused: the folder cannot be written.
            StoreBroken: the key is damaged.
        """
        if not self._key_file.exists():
            self._write(self._key_file, _new_key())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._site)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(name)
        request = builder.sign(self._key(), hashes.SHA256())
        return request.public_bytes(Encoding.PEM).decode()

    @property
    def coordinator(self) -> CoordinatorIdentity:
        """The coordinator's key and the root's SHA-256, as the kept root says.

        Raises:
            StoreBroken: the root is missing or damaged.
        """
        try:
            return coordinator_of(self._root_text())
        except MessageRefused as error:
            raise StoreBroken(f"tls/root.pem: {error}: enrol again") from error

    def accept(self, root: str, chain: str) -> None:
        """Trusts a consortium's root, in the place of any other, and keeps its first certificate.

        Nothing is written unless the root vouches for the certificate.

        Raises:
            MessageRefused: see ``keep``.
            WorkspaceRefused: the folder cannot be written.
            StoreBroken: the key is missing or damaged, or the root is no certificate.
        """
        self._require_good(chain, _read_chain(root)[0])
        self._write(self._root_file, root.encode())
        self._write(self._chain_file, chain.encode())

    def keep(self, chain: str) -> None:
        """Keeps a new certificate, with the one that issued it, in the place of the old one.

        Raises:
            MessageRefused: it is for another name or key, or our root does not vouch for it.
            StoreBroken: root or key are missing or damaged.
        """
        self._require_good(chain, self._root())
        self._write(self._chain_file, chain.encode())

    def _require_good(self, chain: str, root: x509.Certificate) -> None:
        key = self._key().public_key()
        try:
            certificate, *issuers = x509.load_pem_x509_certificates(chain.encode())
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            said = [name.value for name in names.value]
            if certificate.public_key() != key:
                raise MessageRefused("the certificate that came is for another key")
            if said != [SILO_URI + self._site]:
                raise MessageRefused(f"the certificate that came is not for {self._site}")
            verifier = PolicyBuilder().store(Store([root])).time(self._clock())
            verifier.build_client_verifier().verify(certificate, issuers)
        except VerificationError as error:
            raise MessageRefused(
                "the consortium's root does not vouch for the certificate that came; if it should, "
                "check this machine's clock"
            ) from error
        except UNREADABLE as error:
            raise MessageRefused("what came is no certificate") from error

    def context(self) -> ssl.SSLContext:
        """Returns TLS 1.3 that trusts the consortium's root only and shows our certificate.

        Raises:
            PolicyRefused: the certificate has expired.
            StoreBroken: a file is missing or damaged.
        """
        if self.expired:
            raise PolicyRefused(
                f"the certificate of {self._site} expired at {self.expires:%Y-%m-%d %H:%M} UTC: "
                "check this machine's clock, or ask the coordinator for a new invitation and "
                "enrol again"
            )
        context = trusting(self._root_text())
        try:
            context.load_cert_chain(self._chain_file, self._key_file)
        except (OSError, ssl.SSLError) as error:
            raise StoreBroken(
                "tls/silo.pem and silo.key are damaged or do not belong together: enrol again"
            ) from error
        return context

    @property
    def _certificate(self) -> x509.Certificate:
        return _read_chain(_read(self._chain_file))[0]

    def _root(self) -> x509.Certificate:
        return _read_chain(self._root_text())[0]

    def _root_text(self) -> str:
        return _read(self._root_file)

    def _key(self) -> EllipticCurvePrivateKey:
        try:
            key = load_pem_private_key(_read(self._key_file).encode(), password=None)
        except (ValueError, TypeError) as error:
            raise StoreBroken("tls/silo.key is damaged: remove it and enrol again") from error
        if not isinstance(key, EllipticCurvePrivateKey):
            raise StoreBroken("tls/silo.key is another kind of key: remove it and enrol again")
        return key

    def _write(self, path: Path, data: bytes) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, data)
        except OSError as error:
            raise WorkspaceRefused(
                f"tls/{path.name} cannot be written: {error.strerror}"
            ) from error


def trusting(root: str) -> ssl.SSLContext:
    """Returns TLS 1.3 that trusts one root and shows no certificate: for an enrolment.

    Args:
        root: the consortium's root certificate, PEM.

    Raises:
        StoreBroken: it is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cadata=root)
    except (ssl.SSLError, ValueError) as error:
        raise StoreBroken("tls/root.pem is damaged: take it from the invitation again") from error
    return context


def read_invitation(path: Path) -> EnrolmentInvitation:
    """Returns the invitation in a file.

    Raises:
        WorkspaceRefused: the file cannot be read.
        MessageRefused: it is no invitation, or was changed on its way.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be read: {error.strerror}") from error
    try:
        invitation = parse(EnrolmentInvitation, data.strip())  # mail programs add a line's end
        coordinator_of(invitation.root)
    except MessageRefused as error:
        raise MessageRefused(
            f"{path.name} is no invitation, or was changed on its way: ask for it again"
        ) from error
    return invitation


def _new_key() -> bytes:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise StoreBroken(
            f"tls/{path.name} is missing: this hospital is not enrolled; collegium silo enrol "
            "INVITATION enrols it"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StoreBroken(f"tls/{path.name} is damaged: enrol again") from error


def _read_chain(chain: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(chain.encode())
    except UNREADABLE as error:
        raise StoreBroken("a certificate of this hospital is damaged: enrol again") from error
