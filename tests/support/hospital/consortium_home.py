"""A coordinator's folder with hospitals that enrol, under a clock of the test's own."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from coordinator.audit.verification import Verified, verify_records
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.membership.authority import Authority
from coordinator.membership.directory import make_home
from coordinator.membership.members import Members
from protocol.identity.roster import Roster, SigningKey, sign_roster
from protocol.transport.enrolment import (
    CertificateReply,
    EnrolmentInvitation,
    parse,
    request_enrolment,
    to_bytes,
)

URL = "https://localhost:8443"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        """Moves the clock."""
        self.now += timedelta(**by)


@dataclass
class ConsortiumHome:
    """The register of members in a folder, and each hospital's identity key."""

    root: Path
    clock: Clock = field(default_factory=Clock)
    keys: dict[str, SigningKey] = field(default_factory=dict)
    database: str | None = None

    def __post_init__(self) -> None:
        make_home(self.root, ["localhost", "127.0.0.1"], self.clock, self.database)
        self.workspace = Workspace(self.root)
        self.authority = Authority.open(self.root, self.clock)
        self.key = self.workspace.signing_key()
        self.store = Store(self.workspace.database)
        self.members = Members(self.store, self.authority, self.key)

    def invite(self, site: str) -> EnrolmentInvitation:
        """Invites a site."""
        return self.members.invite(site, URL)

    def enrol(self, *sites: str) -> None:
        """Invites and enrols sites, each with a key of its own."""
        for site in sites:
            self.keys[site] = SigningKey.generate()
            self.accept(self.invite(site), self.keys[site])

    def accept(self, invitation: EnrolmentInvitation, key: SigningKey) -> CertificateReply:
        """Enrols by an invitation, with this identity key and a new TLS key."""
        request = request_enrolment(invitation, csr(invitation.site), key)
        return parse(CertificateReply, self.members.enrol(to_bytes(request)))

    def found(self, *sites: str) -> Roster:
        """Enrols sites and lets them all sign the first roster."""
        self.enrol(*sites)
        return self.sign(*sites)

    def sign(self, *sites: str) -> Roster:
        """Proposes the roster and lets sites sign it."""
        roster = self.members.rosters.propose()
        for site in sites:
            self.members.rosters.sign(site, sign_roster(roster, self.keys[site]))
        return roster

    def verify(self) -> Verified:
        """Verifies the database against its log."""
        with self.store.read() as session:
            return verify_records(session, self.key.public)


def csr(name: str) -> str:
    """Returns a certificate request of a new P-256 key."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def leaf(chain: str) -> x509.Certificate:
    """Returns a chain's first certificate."""
    return x509.load_pem_x509_certificates(chain.encode())[0]


def serial(chain: str) -> str:
    """Returns the serial number as Python's ssl module writes it."""
    text = f"{leaf(chain).serial_number:X}"
    return text if len(text) % 2 == 0 else f"0{text}"
