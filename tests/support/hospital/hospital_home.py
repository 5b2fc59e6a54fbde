"""A hospital's home for tests: east, with its site file, records, budget and certificate."""

from pathlib import Path

from compliance.storage.clock import utc_now
from protocol.identity.roster import SigningKey
from protocol.transport.enrolment import CertificateReply, parse, request_enrolment, to_bytes
from silos.config.credentials import Credentials
from silos.database.database import open_hospital
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.sites import SITE
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.studies import TABLE_STUDY, small_study

OFFICER, MEDIC = "Dr. A. Officer", "Prof. B. Medicine"


def make_east(
    folder: Path, *, site: str = SITE, budget: float | None = 20.0, delta: float = 1e-5
) -> Path:
    """Returns the home of a hospital that allows the small study, whose document lies beside it."""
    home = folder / "east"
    home.mkdir()
    (home / "site.yaml").write_text(site)
    write_hospitals(home, small_study())
    (folder / "study.yaml").write_text(TABLE_STUDY)
    hospital = open_hospital(home / "hospital.db", site="east")
    if budget is not None:
        hospital.ledger.open_budget(epsilon_max=budget, delta=delta, signed_by=OFFICER)
    hospital.close()
    return home


def enrol(home: Path, consortium: ConsortiumHome) -> Credentials:
    """Gives a home the certificate that a consortium's coordinator issues."""
    hospital = open_hospital(home / "hospital.db", site="east")
    key = SigningKey.from_bytes(hospital.identity_key)
    hospital.close()
    credentials = Credentials(home / "tls", "east", utc_now)
    invitation = consortium.invite("east")
    request = request_enrolment(invitation, credentials.request(), key)
    reply = parse(CertificateReply, consortium.members.enrol(to_bytes(request)))
    credentials.accept(invitation.root, reply.chain)
    return credentials
