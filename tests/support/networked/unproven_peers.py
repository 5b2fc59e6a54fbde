"""What somebody can do to a served coordinator: raw sockets, TLS, requests with proofs."""

import contextlib
import http.client
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from compliance.storage.clock import utc_now
from coordinator.membership.authority import Authority
from coordinator.membership.directory import open_members
from protocol.encoding import blob_digest
from protocol.identity.roster import SigningKey
from protocol.transport.requests import PROOF_HEADER, Proof, sign_proof
from silos.config.credentials import Credentials, trusting
from silos.database.database import SiteDatabase
from silos.network.enrolment import enrol
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, Site


@dataclass
class Caller:
    """Somebody with some credentials, real or not, and an address on this machine."""

    port: int
    context: ssl.SSLContext
    site: str = "nobody"
    key: SigningKey = field(default_factory=lambda: SigningKey.from_bytes(os.urandom(32)))
    source: str = "127.0.0.1"

    def connect(self) -> ssl.SSLSocket:
        """Returns a connection after the handshake; a refusal may come with the first read."""
        plain = socket.create_connection(
            ("127.0.0.1", self.port), PATIENCE, source_address=(self.source, 0)
        )
        try:
            return self.context.wrap_socket(plain, server_hostname="127.0.0.1")
        except BaseException:
            plain.close()
            raise

    def says(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """Sends bytes in a connection of its own; returns all that came back before it ended."""
        with self.connect() as line:
            with contextlib.suppress(OSError):  # the coordinator need not listen to the end
                for part in parts:
                    line.sendall(part)
                    time.sleep(pause)
            return _rest(line)

    def proof(self, method: str, target: str, body: bytes = b"", /, **changes: object) -> str:
        """Returns a proof for a request, with some of its fields changed before it is signed."""
        drawn = Proof(
            site=self.site,
            method=method,
            target=target,
            body=blob_digest(body),
            time=int(time.time() * 1000),
            nonce=os.urandom(16),
        )
        return sign_proof(replace(drawn, **changes), self.key)  # type: ignore[arg-type]

    def asks(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        proof: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Makes one request in a connection of its own; returns status, body and headers."""
        line = http.client.HTTPSConnection(
            "127.0.0.1",
            self.port,
            context=self.context,
            timeout=PATIENCE,
            source_address=(self.source, 0),
        )
        said = {PROOF_HEADER: proof if proof is not None else self.proof(method, target, body)}
        with contextlib.closing(line):
            line.connect()
            with contextlib.suppress(OSError):  # the coordinator need not listen to the end
                line.request(method, target, body or None, said | (headers or {}))
            reply = line.getresponse()
            return reply.status, reply.read(), reply.headers

    def hears(self, method: str, target: str, body: bytes = b"", **more: object) -> int:
        """Makes one request; returns the status."""
        return self.asks(method, target, body, **more)[0]  # type: ignore[arg-type]


def _rest(line: ssl.SSLSocket) -> bytes:
    heard = b""
    with contextlib.suppress(OSError):
        while piece := line.recv(1 << 16):
            heard += piece
    return heard


def stranger(network: Network, source: str = "127.0.0.1") -> Caller:
    """Somebody who knows the consortium's root, which is no secret, and has no certificate.

    Such a one gets as far as the port for enrolments, while an invitation is open.
    """
    root = (network.home / "tls" / "root.pem").read_text()
    return Caller(port=network.port + 1, context=trusting(root), source=source)


def enrolled(network: Network, name: str) -> Caller:
    """A hospital of the consortium, doing as it likes."""
    site = network.sites[name]
    with _open(site) as hospital:
        key = SigningKey.from_bytes(hospital.identity_key)
    context = Credentials(site.home / "tls", name).context()
    return Caller(port=network.port, context=context, site=name, key=key)


def newcomer(network: Network, folder: Path, name: str) -> Caller:
    """A hospital that has enrolled and is in no roster."""
    site = replace(next(iter(network.sites.values())), name=name, home=folder / name)
    site.home.mkdir()
    with open_members(network.home) as members:
        invitation = members.invite(name, f"https://127.0.0.1:{network.port}")
    with _open(site) as hospital:
        credentials = enrol(site.home, hospital, invitation, root=network.root)
        key = SigningKey.from_bytes(hospital.identity_key)
    return Caller(port=network.port, context=credentials.context(), site=name, key=key)


def with_certificate_of(
    network: Network, folder: Path, authority: Path, name: str, *, age: timedelta = timedelta(0)
) -> Caller:
    """Somebody whose certificate for ``name`` an authority made, so long ago."""
    issuing = Authority.open(authority, lambda: utc_now() - age)
    credentials = Credentials(folder / "tls", name)
    chain = issuing.certify(credentials.request(), name)
    text = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    (folder / "tls" / "silo.pem").write_bytes(text)
    context = stranger(network).context
    context.load_cert_chain(folder / "tls" / "silo.pem", folder / "tls" / "silo.key")
    return replace(enrolled(network, name), context=context)


@contextmanager
def _open(site: Site) -> Iterator[SiteDatabase]:
    hospital = site.open()
    try:
        yield hospital
    finally:
        hospital.close()
