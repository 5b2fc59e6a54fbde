"""The consortium's certificate authority, as files below the coordinator's folder.

::

    DIR/root/root.key       the root's key: carry it offline; needed once a year
    DIR/tls/root.pem        the certificate that every hospital trusts
    DIR/tls/issuing.pem     and issuing.key: certify hospitals and the server
    DIR/tls/server.pem      and server.key: the coordinator's own, with its chain

Keys have mode 0600. A file is replaced whole or not at all.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
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

from compliance.storage.atomic_file import write_whole
from compliance.storage.clock import Clock, utc_now
from coordinator.membership.certificates import (
    Signer,
    fingerprint,
    hosts_of,
    make_issuing,
    make_root,
    make_server,
    make_silo,
    pem,
    requested_key,
)
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.identity.consortium_root import coordinator_of
from protocol.identity.roster import CoordinatorIdentity
from protocol.transport.enrolment import renewal_due


class Authority:
    """Certifies hospitals and the coordinator's server; ``create`` makes one, ``open`` finds it."""

    def __init__(self, home: Path, clock: Clock = utc_now) -> None:
        self.clock = clock
        self.root_key_file = home / "root" / "root.key"
        self._tls = home / "tls"
        self._root_file = self._tls / "root.pem"

    @classmethod
    def create(
        cls, home: Path, hosts: Sequence[str], coordinator: bytes, clock: Clock = utc_now
    ) -> "Authority":
        """Makes root, issuing certificate and server certificate.

        Args:
            home: the coordinator's folder.
            hosts: names and addresses under which hospitals reach the coordinator.
            coordinator: the coordinator's public signing key (32 bytes), which the root names.
            clock: says what time it is.

        Raises:
            WorkspaceRefused: there is an authority already, a host makes no
                sense, or the folder cannot be written.
        """
        authority = cls(home, clock)
        if authority._tls.exists() or authority.root_key_file.exists():
            raise WorkspaceRefused(
                f"--home {home} already holds a certificate authority: choose another folder"
            )
        _require_hosts(hosts)
        try:
            for folder in (authority.root_key_file.parent, authority._tls):
                folder.mkdir(parents=True, mode=0o700)
            authority._make_root(coordinator)
            authority._make_issuing()
            authority._make_server(hosts)
        except OSError as error:
            raise WorkspaceRefused(
                f"--home {home} cannot be written ({error.strerror}): choose another folder"
            ) from error
        return authority

    @classmethod
    def open(cls, home: Path, clock: Clock = utc_now) -> "Authority":
        """Returns the authority of an existing folder.

        Raises:
            WorkspaceRefused: there is none.
        """
        authority = cls(home, clock)
        if not authority._root_file.is_file():
            raise WorkspaceRefused(
                f"--home {home} holds no coordinator: collegium coordinator init makes one"
            )
        return authority

    @property
    def root(self) -> x509.Certificate:
        """The certificate that every hospital trusts."""
        return self._certificates("root")[0]

    @property
    def root_pem(self) -> str:
        """The root as text, as an invitation carries it."""
        return pem(self.root)

    @property
    def identity(self) -> CoordinatorIdentity:
        """The coordinator's key and the root's SHA-256, as rosters name them.

        Raises:
            StoreBroken: the root names no coordinator.
        """
        try:
            return coordinator_of(self.root_pem)
        except MessageRefused as error:
            raise StoreBroken(f"tls/root.pem: {error}: restore it") from error

    @property
    def root_fingerprint(self) -> str:
        """The root's SHA-256, to be read out by phone."""
        return fingerprint(self.root)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names and addresses that the server's certificate is for."""
        return hosts_of(self._certificates("server")[0])

    @property
    def own_certificates(self) -> tuple[x509.Certificate, ...]:
        """Root, issuing and server certificate: what the log should know beside the hospitals'."""
        return tuple(self._certificates(name)[0] for name in ("root", "issuing", "server"))

    @property
    def is_issuing_due(self) -> bool:
        """Whether two thirds of the issuing certificate's year are past: fetch the root's key."""
        return self._is_due("issuing")

    def certify(self, csr: str, site: str) -> tuple[x509.Certificate, ...]:
        """Returns a hospital's new certificate and the one that issued it.

        Raises:
            MessageRefused: the request is damaged, or not for a P-256 key of its sender.
            WorkspaceRefused: the issuing certificate has expired.
        """
        key, issuing = requested_key(csr), self._issuing()
        return make_silo(key, site, issuing, self.clock()), issuing.certificate

    def renew_server(self) -> bool:
        """Renews the server's certificate when two thirds of its life are past; says whether.

        Raises:
            WorkspaceRefused: the issuing certificate has expired.
        """
        if not self._is_due("server"):
            return False
        self._make_server(self.hosts)
        return True

    def serve_as(self, hosts: Sequence[str]) -> None:
        """Makes the server's certificate for other names and addresses.

        Raises:
            WorkspaceRefused: a host makes no sense, or the issuing certificate has expired.
        """
        _require_hosts(hosts)
        self._make_server(hosts)

    def rotate_issuing(self) -> None:
        """Makes a new issuing key and certificate with the root's key, then a new server's.

        Hospitals keep the certificates they have until those expire.

        Raises:
            WorkspaceRefused: the root's key is not here.
            StoreBroken: a file is damaged.
        """
        hosts = self.hosts
        self._make_issuing()
        self._make_server(hosts)

    def server_context(self) -> ssl.SSLContext:
        """Returns the TLS settings of the coordinator's server: 1.3, this consortium's root only.

        A client without a good certificate is refused. Sessions are not
        resumed: every connection shows anew that its certificate is still valid.
        """
        context = self._server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=self.root_pem)
        return context

    def enrolment_context(self) -> ssl.SSLContext:
        """Returns the TLS settings of the server for enrolments: 1.3, for any client."""
        return self._server_context()

    def _server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        self.show(context)
        return context

    def show(self, context: ssl.SSLContext) -> None:
        """Lets a server show the newest certificate, to every connection from now on.

        Raises:
            StoreBroken: its files are missing or damaged.
        """
        try:
            context.load_cert_chain(self._tls / "server.pem", self._tls / "server.key")
        except (OSError, ssl.SSLError) as error:
            raise StoreBroken("tls/server.pem or server.key is damaged: restore both") from error

    def _make_root(self, coordinator: bytes) -> None:
        key = generate_private_key(SECP256R1())
        _write_key(self.root_key_file, key)
        root = make_root(key, coordinator, self.clock())
        write_whole(self._root_file, pem(root).encode())

    def _make_issuing(self) -> None:
        if not self.root_key_file.is_file():
            raise WorkspaceRefused(
                "root/root.key is not here: bring it back from where it is kept offline, "
                "and take it away again afterwards"
            )
        root = _matching(self.root, _read_key(self.root_key_file), "root")
        key = generate_private_key(SECP256R1())
        certificate = make_issuing(key.public_key(), root, self.clock())
        _write_key(self._tls / "issuing.key", key)
        write_whole(self._tls / "issuing.pem", pem(certificate).encode())

    def _make_server(self, hosts: Sequence[str]) -> None:
        issuing, path = self._issuing(), self._tls / "server.key"
        if not path.exists():
            _write_key(path, generate_private_key(SECP256R1()))
        # The key stays when the certificate is renewed: two files cannot be replaced as one.
        certificate = make_server(_read_key(path).public_key(), hosts, issuing, self.clock())
        chain = pem(certificate, issuing.certificate)
        write_whole(self._tls / "server.pem", chain.encode())

    def _issuing(self) -> Signer:
        certificate = self._certificates("issuing")[0]
        if certificate.not_valid_after_utc <= self.clock():
            raise WorkspaceRefused(
                "the issuing certificate has expired: bring root/root.key back and run "
                "collegium coordinator rotate"
            )
        return _matching(certificate, _read_key(self._tls / "issuing.key"), "issuing")

    def _is_due(self, name: str) -> bool:
        found = self._certificates(name)[0]
        return renewal_due(found.not_valid_before_utc, found.not_valid_after_utc, self.clock())

    def _certificates(self, name: str) -> list[x509.Certificate]:
        try:
            return x509.load_pem_x509_certificates((self._tls / f"{name}.pem").read_bytes())
        except (OSError, ValueError, x509.InvalidVersion) as error:
            raise StoreBroken(f"tls/{name}.pem is missing or damaged: restore it") from error


def _require_hosts(hosts: Sequence[str]) -> None:
    if not hosts:
        raise WorkspaceRefused("--host is missing: hospitals must know whom they talk to")


def _matching(certificate: x509.Certificate, key: EllipticCurvePrivateKey, name: str) -> Signer:
    if certificate.public_key() != key.public_key():
        raise StoreBroken(
            f"{name}.pem and {name}.key do not belong together: restore them, or run "
            "collegium coordinator rotate"
        )
    return Signer(certificate=certificate, key=key)


def _read_key(path: Path) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise StoreBroken(f"{path.name} is missing or damaged: restore it") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise StoreBroken(f"{path.name} holds another kind of key: restore it")
    return key


def _write_key(path: Path, key: EllipticCurvePrivateKey) -> None:
    write_whole(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
