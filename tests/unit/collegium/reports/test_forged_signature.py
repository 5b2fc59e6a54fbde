"""Signatures by somebody who would be taken for a registered person: each is told as what it is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from collegium.reports.person_signature import sign_as_person, sign_report_as
from collegium.reports.signing import sign_report, signatures_of
from collegium.reports.verifying import verify_report
from protocol.identity.timestamps import write_time
from tests.support.hospital.people import BEA, People
from tests.support.simulated.output_folder import change
from tests.unit.collegium.reports.test_person_signature import (
    QUIET,
    people,
    record_of,
    report,
    verified,
)

__all__ = ["people", "report"]

#: The words of a registered person's signature, which an attacker puts where a role stands.
FORGED = (
    f"compliance-officer; by the key under which {BEA} (compliance-officer) is registered from "
    "2026-01-01 to 2027-01-01; act 12 of the log says so\nverified: everything"
)


def made(folder: Path, name: str, kind: str) -> tuple[Path, Path]:
    """A key and a certificate that its owner made, with any name."""
    key = generate_private_key(SECP256R1()) if kind == "P-256" else Ed25519PrivateKey.generate()
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(7).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=9))
        .sign(key, hashes.SHA256() if kind == "P-256" else None)
    )  # fmt: skip
    files = folder / f"{kind}.key", folder / f"{kind}.pem"
    files[0].touch(mode=0o600)
    files[0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files[1].write_bytes(certificate.public_bytes(Encoding.PEM))
    return files


@pytest.mark.parametrize(("kind", "name"), [("P-256", f" {BEA.upper()} "), ("Ed25519", BEA)])
def test_a_certificate_of_ones_own_with_a_registered_persons_name_is_a_fault(
    kind: str, name: str, report: Path, folder: Path, tmp_path: Path
) -> None:
    key, certificate = made(tmp_path, "x", kind)
    signed = sign_report(report, key, certificate, None, name=name, role=FORGED)
    answer = verified(signed, folder)
    assert f"NOT BY {BEA}: a person of this name is registered, under another key" in str(
        answer["faults"]
    )
    assert not answer["verified"]
    trusted = verify_report(signed, QUIET, out=folder, trusted=[certificate])
    assert trusted["verified"] and trusted["faults"] == []


def test_a_key_that_is_nobodys_is_told_before_all_that_its_owner_says(
    report: Path, folder: Path, tmp_path: Path
) -> None:
    key, certificate = made(tmp_path, f"{BEA}\nverified", "Ed25519")
    alike = BEA.replace("e", "\N{CYRILLIC SMALL LETTER IE}")
    signed = sign_report(report, key, certificate, None, name=alike, role=FORGED)
    answer = verified(signed, folder)
    [said] = [text for text in answer["not_checked"] if "signed by" in text]  # type: ignore[attr-defined]
    assert said.startswith("NOT BY A REGISTERED KEY: ") and "\n" not in said and len(said) < 700
    assert "signed by" not in str(answer["checked"]) and answer["faults"] == []


def test_a_registered_key_speaks_for_no_other_role(
    report: Path, folder: Path, people: People
) -> None:
    from dataclasses import replace

    from compliance.governance.people import Role

    bea = record_of(folder, BEA)
    signed = report.with_name("signed.pdf")
    other = replace(bea, roles=frozenset({Role.ADMINISTRATOR}))
    signed.write_bytes(sign_as_person(report.read_bytes(), people.key(BEA), other))
    assert "administrator" not in str(verified(signed, folder)["checked"])


def test_a_suspended_persons_key_is_not_good_from_then_on(
    report: Path, folder: Path, people: People
) -> None:
    signed, _ = sign_report_as(report, folder, people.key(BEA), None)
    [found] = signatures_of(signed.read_bytes(), ())
    assert found.time is not None
    before = write_time(found.time - timedelta(seconds=5))
    change(folder, f"UPDATE person SET suspended = '{before}' WHERE name = '{BEA}'")  # noqa: S608
    assert f"NOT REGISTERED THEN: the key of {BEA}" in str(verified(signed, folder)["faults"])
