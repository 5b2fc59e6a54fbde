"""Evidence from the kernel's interface: what a machine shows, and what it says when it cannot."""

import errno
import json
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from collegium.cli.silo.hospital import app
from protocol.codec import from_json
from protocol.encoding import parse_canonical
from protocol.errors import MessageRefused, PolicyRefused, WorkspaceRefused
from protocol.identity.machine_evidence import MachineEvidence, report_data
from protocol.identity.roster import Member
from silos.config.attestation import kernel, sev_snp
from silos.config.attestation.kernel import certificates_in, machine_evidence, read_table
from silos.database.database import open_hospital
from silos.database.identity_keys import IdentityKeys
from silos.operations.attestation import TRIAL, attest
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.tee import (
    CHALLENGE,
    MEMBER,
    NOW,
    Snp,
    TdxMachine,
    ark_certificate,
    der,
    pinned,
)
from tests.unit.silos.config.attestation.test_sev_snp import OURS

DATA = report_data(MEMBER, CHALLENGE)
CHAIN = der(*Snp().chain())
GUIDS = (
    "63da758d-e664-4564-adc5-f4b93be8accd",
    "4ab7b379-bbac-4fe4-a02f-05aef327c782",
    "c0b406a4-a803-4952-9743-3fb6014cd0ae",
)


def interface(
    folder: Path, report: bytes, *, provider: str = "sev_guest", table: bytes = b""
) -> Path:
    """A folder as root prepares it: the report lies there already, as if it were just asked for."""
    entry = folder / "report" / kernel.OWN
    entry.mkdir(parents=True)
    (entry / "provider").write_text(provider + "\n")
    (entry / "inblob").touch()
    (entry / "outblob").write_bytes(report)
    (entry / "auxblob").write_bytes(table)
    return folder / "report"


def table_of(chain: tuple[bytes, ...], guids: tuple[str, ...] = GUIDS) -> bytes:
    """A host's certificate table."""
    begin, head, body = 24 * (len(chain) + 1), b"", b""
    for guid, certificate in zip(guids, chain, strict=True):
        place = (begin + len(body)).to_bytes(4, "little")
        head += UUID(guid).bytes + place + len(certificate).to_bytes(4, "little")
        body += certificate
    return head + bytes(24) + body


def test_snp_evidence_with_the_hosts_certificates_satisfies_the_verifier(tmp_path: Path) -> None:
    folder = interface(tmp_path, Snp().report(DATA), table=table_of(CHAIN))
    evidence = machine_evidence(DATA, interface=folder)
    assert (folder / kernel.OWN / "inblob").read_bytes() == DATA
    OURS(MEMBER, evidence, CHALLENGE, NOW)


def test_certificates_of_the_hospital_stand_in_where_the_host_hands_on_none(tmp_path: Path) -> None:
    home = tmp_path / "attestation"
    home.mkdir()
    vcek, ask, ark = Snp().chain()
    (home / "vcek.der").write_bytes(vcek.public_bytes(Encoding.DER))
    (home / "ask.pem").write_bytes(ask.public_bytes(Encoding.PEM))
    assert certificates_in(home) == ()
    (home / "ark.pem").write_bytes(ark.public_bytes(Encoding.PEM))
    folder = interface(tmp_path, Snp().report(DATA))
    evidence = machine_evidence(DATA, certificates_in(home), folder)
    OURS(MEMBER, evidence, CHALLENGE, NOW)
    assert machine_evidence(DATA, interface=folder).certificates == ()
    (home / "ark.pem").write_text("no certificate")
    with pytest.raises(MessageRefused, match="ark.pem: not readable"):
        certificates_in(home)


def test_tdx_evidence_is_the_quote(tmp_path: Path) -> None:
    quote = TdxMachine().quote(DATA)
    evidence = machine_evidence(DATA, interface=interface(tmp_path, quote, provider="tdx_guest"))
    assert evidence == MachineEvidence(kind="tdx", report=quote)


def test_a_machine_without_a_tee_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="this machine shows no TEE: .* is missing"):
        machine_evidence(DATA, interface=tmp_path / "report")


def test_a_machine_whose_report_cannot_be_had_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    for number, said in (
        (errno.EACCES, "let root prepare .*report/collegium"),
        (errno.ENXIO, "the kernel has no provider of reports"),
        (errno.EIO, "the processor gave no report: "),
    ):

        def fails(_path: Path, number: int = number) -> None:
            raise OSError(number, "said by the kernel")

        with monkeypatch.context() as patched:
            patched.setattr(Path, "mkdir", fails)
            with pytest.raises(WorkspaceRefused, match=said):
                machine_evidence(DATA, interface=folder)


def test_a_folder_that_nobody_prepared_is_made_and_removed_again(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    with pytest.raises(WorkspaceRefused, match="the processor gave no report"):
        machine_evidence(DATA, interface=folder)  # a plain folder gives no report
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("report", "provider", "said"),
    [
        (Snp().report(bytes(64)), "sev_guest", "the report is about other bytes"),
        (TdxMachine().quote(bytes(64)), "tdx_guest", "the report is about other bytes"),
        (b"", "arm_cca_guest", "provider of reports is 'arm_cca_guest'"),
        (bytes(1 << 15), "sev_guest", "outblob: more than 16384 bytes"),
    ],
)
def test_another_report_than_was_asked_for_is_not_shown(
    tmp_path: Path, report: bytes, provider: str, said: str
) -> None:
    with pytest.raises(WorkspaceRefused, match=said):
        machine_evidence(DATA, interface=interface(tmp_path, report, provider=provider))


def test_a_certificate_table_is_read_within_its_bounds() -> None:
    assert read_table(table_of(CHAIN)) == CHAIN
    assert read_table(table_of(CHAIN[::-1], GUIDS[::-1])) == CHAIN
    assert read_table(table_of(CHAIN[:2], GUIDS[:2])) == ()
    assert read_table(b"") == read_table(bytes(4096)) == ()
    for spoilt in (table_of(CHAIN)[:-1], table_of((bytes(5000),), GUIDS[:1])):
        with pytest.raises(MessageRefused, match="an entry lies outside"):
            read_table(spoilt)


# --- collegium silo attest ---


def test_a_trial_writes_evidence_about_this_hospitals_key(tmp_path: Path) -> None:
    home = make_east(tmp_path)
    hospital = open_hospital(home / "hospital.db", site="east")
    east = Member(site="east", public_key=IdentityKeys(hospital).own.public.hex())
    hospital.close()
    folder = interface(tmp_path, Snp().report(report_data(east, TRIAL)), table=table_of(CHAIN))
    made = attest(home, tmp_path / "evidence.json", interface=folder)
    assert dict(made.facts)["kind"] == "sev-snp"
    written = from_json(MachineEvidence, parse_canonical((tmp_path / "evidence.json").read_bytes()))
    assert written == made.evidence
    verify = sev_snp.SevSnp(
        measurements=frozenset({dict(made.facts)["measurement"]}),
        least_tcb=sev_snp.Tcb(0, 0, 0, 0),
        roots=pinned(ark_certificate()),
    )
    verify(east, written, TRIAL, NOW)
    with pytest.raises(PolicyRefused, match="was not asked to join a run 20260101"):
        attest(home, tmp_path / "other.json", "20260101", folder)
    with pytest.raises(WorkspaceRefused, match="cannot be written"):
        attest(home, tmp_path / "no" / "folder.json", interface=folder)


def test_the_command_says_that_a_machine_has_no_tee(tmp_path: Path) -> None:
    home = make_east(tmp_path)
    asked = CliRunner().invoke(app, ["attest", "--home", str(home), "--to", str(tmp_path / "e")])
    assert isinstance(asked.exception, WorkspaceRefused)
    assert "this machine shows no TEE" in str(asked.exception)


def test_the_command_shows_what_the_evidence_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, data = make_east(tmp_path), {}
    hospital = open_hospital(home / "hospital.db", site="east")
    east = Member(site="east", public_key=IdentityKeys(hospital).own.public.hex())
    hospital.close()
    folder = interface(tmp_path, Snp().report(report_data(east, TRIAL)), table=table_of(CHAIN))
    monkeypatch.setattr("silos.operations.attestation.attest.__defaults__", (None, folder))
    shown = CliRunner().invoke(
        app, ["attest", "--home", str(home), "--to", str(tmp_path / "e"), "--json"]
    )
    assert shown.exit_code == 0, shown.output
    data = json.loads(shown.stdout)
    assert data["run"] is None
    assert data["tcb"] == "boot loader 3, tee 0, snp 8, microcode 115"
