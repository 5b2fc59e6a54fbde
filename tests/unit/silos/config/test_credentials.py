"""A hospital's TLS credentials, and who gets through a real TLS 1.3 handshake."""

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from coordinator.membership.authority import Authority
from coordinator.membership.certificates import pem
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken, WorkspaceRefused
from protocol.identity.consortium_root import coordinator_of
from protocol.identity.timestamps import write_time
from protocol.transport.enrolment import EnrolmentInvitation
from protocol.transport.enrolment import to_bytes as invitation_bytes
from silos.config.credentials import Credentials, read_invitation, trusting
from tests.support.hospital.consortium_home import Clock, csr
from tests.support.machine.patience import PATIENCE

KEY = bytes(range(32))


@dataclass
class Enrolled:
    """An authority, and one hospital that it has certified."""

    clock: Clock
    authority: Authority
    hospital: Credentials
    folder: Path

    def renew(self) -> None:
        """Certifies the hospital's key anew."""
        self.hospital.keep(chain_for(self.authority, self.hospital, "lyon"))


def chain_for(authority: Authority, hospital: Credentials, site: str) -> str:
    return pem(*authority.certify(hospital.request(), site))


@pytest.fixture
def enrolled(tmp_path: Path) -> Enrolled:
    return make(tmp_path, Clock())


def make(root: Path, clock: Clock) -> Enrolled:
    authority = Authority.create(root / "home", ["localhost"], KEY, clock)
    folder = root / "hospital" / "tls"
    made = Enrolled(clock, authority, Credentials(folder, "lyon", clock), folder)
    chain = chain_for(authority, made.hospital, "lyon")
    made.hospital.accept(authority.root_pem, chain)
    return made


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[tuple[tuple[str, int], list[Any]]]:
    """Yields an address, and what its server learned of whoever connected to it, once."""
    seen: list[Any] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(PATIENCE)

    def serve() -> None:
        try:
            connection, _ = server.accept()
            connection.settimeout(PATIENCE)
            with context.wrap_socket(connection, server_side=True) as session:
                seen.append((session.version(), session.getpeercert()))
                session.sendall(b"welcome")
        except (ssl.SSLError, OSError) as error:
            seen.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname(), seen
    finally:
        thread.join(PATIENCE)
        server.close()
        assert not thread.is_alive()


def greet(address: tuple[str, int], context: ssl.SSLContext, name: str = "localhost") -> bytes:
    """Connects, and returns what the server says: only then is our certificate accepted."""
    with (
        socket.create_connection(address, timeout=PATIENCE) as connection,
        context.wrap_socket(connection, server_hostname=name) as session,
    ):
        return session.recv(7)


def test_hospital_is_let_in_by_its_name(enrolled: Enrolled) -> None:
    with serving(enrolled.authority.server_context()) as (address, seen):
        assert greet(address, enrolled.hospital.context()) == b"welcome"
    version, certificate = seen[0]
    assert version == "TLSv1.3"
    assert certificate["subjectAltName"] == (("URI", "collegium://silo/lyon"),)


def test_whoever_has_no_certificate_is_refused(enrolled: Enrolled) -> None:
    with serving(enrolled.authority.server_context()) as (address, seen):
        with pytest.raises(ssl.SSLError, match="certificate required"):
            greet(address, trusting(enrolled.authority.root_pem))
    assert "peer did not return a certificate" in str(seen[0])


def test_whoever_has_no_certificate_may_come_to_enrol_and_is_nobody(enrolled: Enrolled) -> None:
    with serving(enrolled.authority.enrolment_context()) as (address, seen):
        assert greet(address, trusting(enrolled.authority.root_pem)) == b"welcome"
    assert seen == [("TLSv1.3", {})] or seen == [("TLSv1.3", None)]


def test_certificate_of_another_consortium_is_refused(enrolled: Enrolled, tmp_path: Path) -> None:
    other = make(tmp_path / "other", enrolled.clock)
    (other.folder / "root.pem").write_text(enrolled.authority.root_pem)
    with serving(enrolled.authority.server_context()) as (address, seen):
        with pytest.raises(ssl.SSLError, match="ALERT|alert"):
            greet(address, other.hospital.context())
    assert "certificate verify failed" in str(seen[0])


def test_coordinator_of_another_consortium_is_refused(enrolled: Enrolled, tmp_path: Path) -> None:
    other = make(tmp_path / "other", enrolled.clock)
    with serving(other.authority.server_context()) as (address, _):
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
            greet(address, enrolled.hospital.context())


def test_expired_certificate_is_refused_by_both_sides(tmp_path: Path) -> None:
    clock = Clock()
    clock.move(days=-8)
    late = make(tmp_path, clock)
    stopped = late.hospital.context()  # the hospital's clock stands still: it notices nothing
    with serving(late.authority.server_context()) as (address, seen):
        with pytest.raises(ssl.SSLError, match="EXPIRED"):
            greet(address, stopped)
    assert "certificate has expired" in str(seen[0])
    clock.move(days=8)
    with pytest.raises(PolicyRefused, match="certificate of lyon expired at .* new invitation"):
        late.hospital.context()


def test_server_of_another_name_is_refused(enrolled: Enrolled) -> None:
    with serving(enrolled.authority.server_context()) as (address, _):
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            greet(address, enrolled.hospital.context(), "elsewhere")


def test_hospital_cannot_pass_for_the_coordinator(enrolled: Enrolled) -> None:
    posing = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    posing.load_cert_chain(enrolled.folder / "silo.pem", enrolled.folder / "silo.key")
    asking = enrolled.hospital.context()
    asking.check_hostname = False  # so that only the certificate's purpose is left to refuse it
    with serving(posing) as (address, _):
        with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
            greet(address, asking)


def test_older_tls_is_refused(enrolled: Enrolled) -> None:
    old = trusting(enrolled.authority.root_pem)
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(enrolled.authority.server_context()) as (address, _):
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            greet(address, old)


def test_hospital_trusts_its_consortium_and_nobody_else(enrolled: Enrolled) -> None:
    context = enrolled.hospital.context()
    assert len(context.get_ca_certs()) == 1
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.verify_flags & ssl.VERIFY_X509_STRICT


def test_key_is_made_once_and_is_the_owners_alone(enrolled: Enrolled) -> None:
    key = enrolled.folder / "silo.key"
    before = key.read_bytes()
    enrolled.hospital.request()
    enrolled.renew()
    assert key.read_bytes() == before
    assert key.stat().st_mode & 0o077 == 0
    assert enrolled.folder.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in enrolled.folder.iterdir()) == [
        "root.pem", "silo.key", "silo.pem",
    ]  # fmt: skip


def test_certificate_is_due_at_two_thirds_and_expires_after_a_week(enrolled: Enrolled) -> None:
    hospital = enrolled.hospital
    assert hospital.enrolled
    assert hospital.left == timedelta(days=7)
    enrolled.clock.move(days=4, hours=15)
    assert not hospital.due
    enrolled.clock.move(hours=2)
    assert hospital.due
    assert not hospital.expired
    enrolled.clock.move(days=3)
    assert hospital.expired
    assert hospital.left < timedelta(0)
    enrolled.renew()
    assert not hospital.due


def test_certificate_for_another_key_or_name_is_not_kept(
    enrolled: Enrolled, tmp_path: Path
) -> None:
    authority, hospital = enrolled.authority, enrolled.hospital
    before = (enrolled.folder / "silo.pem").read_bytes()
    other = make(tmp_path / "other", enrolled.clock).authority
    leaf, _ = authority.certify(hospital.request(), "lyon")
    for chain, said in (
        (pem(*authority.certify(csr("lyon"), "lyon")), "is for another key"),
        (chain_for(authority, hospital, "oslo"), "is not for lyon"),
        (chain_for(other, hospital, "lyon"), "root does not vouch"),
        (pem(leaf), "root does not vouch"),
        ("nonsense", "what came is no certificate"),
    ):
        with pytest.raises(MessageRefused, match=said):
            hospital.keep(chain)
    assert (enrolled.folder / "silo.pem").read_bytes() == before


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_no_changed_byte_of_a_certificate_is_accepted_or_gives_another_error(
    enrolled: Enrolled,
) -> None:
    chain = enrolled.authority.certify(enrolled.hospital.request(), "lyon")
    whole, issuing = (part.public_bytes(Encoding.DER) for part in chain)
    random = Random(1)
    for _ in range(400):
        place, value = random.randrange(len(whole)), random.randrange(1, 256)
        changed = whole[:place] + bytes([whole[place] ^ value]) + whole[place + 1 :]
        with pytest.raises(MessageRefused):
            enrolled.hospital.keep(armoured(changed) + armoured(issuing))


def armoured(der: bytes) -> str:
    lines = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n"


def test_expired_certificate_is_not_kept(enrolled: Enrolled) -> None:
    chain = chain_for(enrolled.authority, enrolled.hospital, "lyon")
    enrolled.clock.move(days=8)
    with pytest.raises(MessageRefused, match="root does not vouch"):
        enrolled.hospital.keep(chain)


@pytest.mark.parametrize("name", ["root.pem", "silo.key", "silo.pem"])
@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"\xff\xfe"])
def test_missing_or_damaged_file_is_refused(
    enrolled: Enrolled, name: str, content: bytes | None
) -> None:
    path = enrolled.folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreBroken, match="damaged|is not enrolled"):
        enrolled.hospital.context()


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceRefused, match="silo.key cannot be written"):
        Credentials(tmp_path / "file" / "tls", "lyon").request()


@pytest.fixture
def invitation(enrolled: Enrolled) -> EnrolmentInvitation:
    return EnrolmentInvitation(
        site="lyon",
        url="https://localhost:8443",
        enrol_url="https://localhost:8444",
        root=enrolled.authority.root_pem,
        token=bytes(32),
        expires=write_time(enrolled.clock.now),
    )


def test_invitation_is_read_from_its_file(
    enrolled: Enrolled, invitation: EnrolmentInvitation, tmp_path: Path
) -> None:
    path = tmp_path / "lyon.invitation"
    path.write_bytes(invitation_bytes(invitation) + b"\r\n")
    assert read_invitation(path) == invitation
    found = coordinator_of(invitation.root)
    assert found == enrolled.authority.identity == enrolled.hospital.coordinator
    assert (found.key, found.root) == (KEY, enrolled.authority.root_fingerprint)


def test_changed_or_missing_invitation_is_refused(
    invitation: EnrolmentInvitation, tmp_path: Path
) -> None:
    path = tmp_path / "lyon.invitation"
    with pytest.raises(WorkspaceRefused, match="cannot be read"):
        read_invitation(path)
    data = invitation_bytes(invitation)
    for changed in (data[:-9], b"", b"\xff", data.replace(b"MII", b"!!!"), b"[]"):
        path.write_bytes(changed)
        with pytest.raises(MessageRefused, match="no invitation, or was changed on its way"):
            read_invitation(path)
