"""The certificate authority: what its certificates say, and what it refuses."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder
from cryptography.x509.verification import Store as Trusted

from coordinator.membership.authority import Authority
from coordinator.membership.certificates import BACKDATED, pem, requested_key
from coordinator.membership.directory import make_home, open_members
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from tests.support.hospital.consortium_home import Clock, ConsortiumHome, csr

KEY = bytes(range(32))
HOSTS = ["localhost", "10.0.0.5"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(tmp_path: Path, clock: Clock) -> Authority:
    return Authority.create(tmp_path, HOSTS, KEY, clock)


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.ExtensionType:
    return certificate.extensions.get_extension_for_class(kind).value


def test_root_certifies_one_further_level_for_ten_years(authority: Authority, clock: Clock) -> None:
    root, issuing, _ = authority.own_certificates
    assert extension(root, x509.BasicConstraints) == x509.BasicConstraints(True, 1)
    assert extension(issuing, x509.BasicConstraints) == x509.BasicConstraints(True, 0)
    assert (root.not_valid_after_utc - clock.now).days == 3652
    assert (issuing.not_valid_after_utc - clock.now).days == 365


def test_hospital_certificate_says_its_name_as_a_client_for_seven_days(
    authority: Authority, clock: Clock
) -> None:
    leaf, issuing = authority.certify(csr("somebody else"), "lyon")
    names = extension(leaf, x509.SubjectAlternativeName)
    assert names == x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier("collegium://silo/lyon")]
    )
    assert extension(leaf, x509.ExtendedKeyUsage) == x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    assert extension(leaf, x509.BasicConstraints) == x509.BasicConstraints(False, None)
    assert (leaf.not_valid_after_utc - clock.now).days == 7
    assert clock.now - leaf.not_valid_before_utc == BACKDATED
    assert "somebody" not in leaf.subject.rfc4514_string()
    assert leaf.issuer == issuing.subject


def test_chain_leads_to_the_root_and_to_no_other(authority: Authority, tmp_path: Path) -> None:
    leaf, issuing = authority.certify(csr("lyon"), "lyon")
    other = Authority.create(tmp_path / "other", HOSTS, KEY, authority.clock)
    builder = PolicyBuilder().time(authority.clock())
    builder.store(Trusted([authority.root])).build_client_verifier().verify(leaf, [issuing])
    with pytest.raises(x509.verification.VerificationError):
        builder.store(Trusted([other.root])).build_client_verifier().verify(leaf, [issuing])


def test_certificate_request_without_its_key_is_refused() -> None:
    data = bytearray(x509.load_pem_x509_csr(csr("lyon").encode()).public_bytes(Encoding.DER))
    data[-1] ^= 1
    changed = x509.load_der_x509_csr(bytes(data)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(MessageRefused, match="not signed with its own key"):
        requested_key(changed)


def test_tls_key_of_another_kind_is_refused() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    ed25519 = builder.sign(Ed25519PrivateKey.generate(), None)
    p384 = builder.sign(generate_private_key(SECP384R1()), hashes.SHA256())
    for request in (ed25519, p384):
        with pytest.raises(MessageRefused, match="must be of the curve P-256"):
            requested_key(request.public_bytes(Encoding.PEM).decode())


def test_damaged_certificate_request_is_refused() -> None:
    begin, *_, end = csr("lyon").splitlines(keepends=True)
    with pytest.raises(MessageRefused, match="cannot be read"):
        requested_key(f"{begin}MAMCAQA=\n{end}")


def test_keys_are_readable_by_their_owner_alone(authority: Authority, tmp_path: Path) -> None:
    keys = sorted(tmp_path.rglob("*.key"))
    assert [path.name for path in keys] == ["root.key", "issuing.key", "server.key"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys)
    assert not list(tmp_path.rglob("*.partial"))


def test_folder_with_an_authority_is_refused_and_unchanged(
    authority: Authority, tmp_path: Path
) -> None:
    before = authority.root_fingerprint
    with pytest.raises(WorkspaceRefused, match="already holds a certificate authority"):
        Authority.create(tmp_path, HOSTS, KEY, authority.clock)
    assert authority.root_fingerprint == before


@pytest.mark.parametrize("host", ["a b", "Upper.example", "-a", "a..b", "x" * 300, "https://a"])
def test_host_that_is_none_is_refused_and_nothing_is_left(tmp_path: Path, host: str) -> None:
    home = tmp_path / "home"
    with pytest.raises(WorkspaceRefused, match="is no host"):
        make_home(home, [host])
    assert not home.exists()


def test_coordinator_without_a_host_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="--host is missing"):
        make_home(tmp_path / "home", [])


def test_folder_without_an_authority_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="holds no coordinator"):
        Authority.open(tmp_path)


def test_home_that_lost_its_database_is_not_given_an_empty_one(tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "home")
    home.store.close()
    (home.root / "collegium.db").unlink()
    with (
        pytest.raises(StoreBroken, match="collegium.db is missing"),
        open_members(home.root),
    ):
        pytest.fail("a register that knows nobody was opened")


def test_home_is_made_once(tmp_path: Path) -> None:
    make_home(tmp_path / "home", HOSTS)
    with pytest.raises(WorkspaceRefused, match="already holds a coordinator"):
        make_home(tmp_path / "home", HOSTS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(WorkspaceRefused, match="holds other files"):
        make_home(tmp_path / "other", HOSTS)


def test_server_certificate_is_renewed_at_two_thirds(authority: Authority, clock: Clock) -> None:
    clock.move(days=59)
    assert not authority.renew_server()
    before = authority.own_certificates[2]
    clock.move(days=2)
    assert authority.renew_server()
    after = authority.own_certificates[2]
    assert (after.not_valid_after_utc - clock.now).days == 90
    assert authority.hosts == tuple(HOSTS)
    assert after.public_key() == before.public_key()


def test_server_certificate_is_made_for_other_hosts(authority: Authority) -> None:
    authority.serve_as(["example.org", "2001:db8::1"])
    assert authority.hosts == ("example.org", "2001:db8::1")
    with pytest.raises(WorkspaceRefused, match="is no host"):
        authority.serve_as(["a b"])
    with pytest.raises(WorkspaceRefused, match="--host is missing"):
        authority.serve_as([])
    assert authority.hosts == ("example.org", "2001:db8::1")


def test_root_key_is_missed_only_where_it_is_needed(authority: Authority, clock: Clock) -> None:
    carried = authority.root_key_file.read_bytes()
    authority.root_key_file.unlink()
    authority.certify(csr("lyon"), "lyon")
    clock.move(days=80)
    assert authority.renew_server()
    with pytest.raises(WorkspaceRefused, match="root.key is not here: bring it back"):
        authority.rotate_issuing()
    authority.root_key_file.write_bytes(carried)
    authority.rotate_issuing()


def test_rotation_changes_issuing_and_server_and_keeps_the_root(authority: Authority) -> None:
    old, before = authority.certify(csr("lyon"), "lyon"), authority.own_certificates
    authority.rotate_issuing()
    after = authority.own_certificates
    assert after[0] == before[0]
    assert after[1].public_key() != before[1].public_key()
    assert after[2] != before[2]
    verifier = PolicyBuilder().store(Trusted([authority.root])).time(authority.clock())
    verifier.build_client_verifier().verify(old[0], [old[1]])


def test_no_certificate_outlives_its_issuer(authority: Authority, clock: Clock) -> None:
    clock.move(days=363)
    assert authority.is_issuing_due
    leaf, issuing = authority.certify(csr("lyon"), "lyon")
    assert leaf.not_valid_after_utc == issuing.not_valid_after_utc
    clock.move(days=3)
    with pytest.raises(WorkspaceRefused, match="has expired: bring root/root.key back"):
        authority.certify(csr("lyon"), "lyon")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tls/issuing.key", b"nonsense", "issuing.key is missing or damaged"),
        ("tls/issuing.pem", b"nonsense", "tls/issuing.pem is missing or damaged"),
        ("tls/issuing.key", None, "do not belong together"),
    ],
)
def test_damaged_files_are_refused(
    authority: Authority, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    (tmp_path / name).write_bytes(content or (tmp_path / "tls" / "server.key").read_bytes())
    with pytest.raises(StoreBroken, match=said):
        authority.certify(csr("lyon"), "lyon")


def test_server_speaks_tls_1_3_to_this_consortium_only(authority: Authority) -> None:
    context = authority.server_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.num_tickets == 0
    assert [pem_of(der) for der in context.get_ca_certs(binary_form=True)] == [authority.root_pem]


def test_server_for_enrolments_asks_for_no_certificate(authority: Authority) -> None:
    context = authority.enrolment_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_NONE
    assert context.num_tickets == 0


def pem_of(der: bytes) -> str:
    return pem(x509.load_der_x509_certificate(der))
