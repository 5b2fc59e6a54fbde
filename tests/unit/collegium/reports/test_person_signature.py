"""Signatures by registered keys: whose each is, from when to when, and which act says so."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console

from collegium.reports.export import export_report
from collegium.reports.person_signature import (
    person_certificate,
    sign_as_person,
    sign_report_as,
)
from collegium.reports.request import ReportRequest
from collegium.reports.signing import signatures_of
from collegium.reports.verifying import verify_report
from compliance.governance.people import Person
from coordinator.views.views import open_views
from protocol.encoding import digest
from protocol.errors import PolicyRefused, WorkspaceRefused
from protocol.identity.roster import SigningKey
from tests.support.hospital.people import ADA, BEA, CLEO, People, people_of
from tests.support.simulated.output_folder import RUNS, change

QUIET = Console(quiet=True)
DAN = "Dan Scientist"


@pytest.fixture
def people(folder: Path) -> Iterator[People]:
    with people_of(folder) as found:
        yield found


@pytest.fixture
def report(folder: Path, people: People, tmp_path: Path) -> Path:
    to = tmp_path / "report.pdf"
    export_report(folder, ReportRequest(name=RUNS[0]), "pdf", to, QUIET, key=people.key(BEA))
    return to


def record_of(folder: Path, name: str) -> Person:
    with closing(open_views(folder)) as views:
        return next(one for one in views.governance().people if one.name == name)


def verified(file: Path, folder: Path) -> dict[str, object]:
    return verify_report(file, QUIET, out=folder)


def test_two_people_sign_and_each_is_told_with_roles_days_and_the_act(
    report: Path, folder: Path, people: People
) -> None:
    once, told = sign_report_as(report, folder, people.key(BEA), None)
    assert once.name == "report-signed.pdf" and told.startswith(f"signed by {BEA}; logged as act")
    twice, _ = sign_report_as(once, folder, people.key(CLEO), report.with_name("both.pdf"))
    answer = verified(twice, folder)
    assert answer["verified"] and answer["faults"] == []
    first, second = answer["signatures"]  # type: ignore[misc]
    with closing(open_views(folder)) as views:
        acts = [act for act in views.acts() if act.action == "report.sign"]
    assert [act.details["sha256"] for act in acts] == [
        digest(report.read_bytes()), digest(once.read_bytes())
    ]  # fmt: skip
    bea = record_of(folder, BEA)
    assert (
        f"by the key under which {BEA} (auditor, compliance-officer) is registered from "
        f"{bea.since[:10]} to {bea.expires[:10]}; act {acts[0].number} of the log says so"
    ) in first["sentence"]
    assert f"{CLEO} (lead)" in second["sentence"] and f"act {acts[1].number}" in second["sentence"]
    assert second["public_key"] == people.key(CLEO).public.hex()
    assert "give --trust" not in f"{answer['checked']}{answer['not_checked']}"


def test_without_the_folder_nobody_says_whose_key_it_is(
    report: Path, folder: Path, people: People
) -> None:
    signed, _ = sign_report_as(report, folder, people.key(BEA), None)
    [found] = verify_report(signed, QUIET)["signatures"]
    assert found["registered"] == "" and "give --trust" in found["sentence"]


def test_a_signature_past_the_folder_is_told_as_one_that_no_act_says(
    report: Path, folder: Path, people: People
) -> None:
    signed = report.with_name("signed.pdf")
    bea = record_of(folder, BEA)
    signed.write_bytes(sign_as_person(report.read_bytes(), people.key(BEA), bea))
    answer = verified(signed, folder)
    assert answer["faults"] == []
    assert "the log has no act that says so" in str(answer["checked"])


def test_a_name_that_is_not_the_keys_is_a_fault(report: Path, folder: Path, people: People) -> None:
    other = replace(record_of(folder, BEA), name=ADA)
    signed = report.with_name("signed.pdf")
    signed.write_bytes(sign_as_person(report.read_bytes(), people.key(BEA), other))
    assert f"NOT BY {ADA}: the key of the signature is registered for {BEA}" in str(
        verified(signed, folder)["faults"]
    )


def test_a_key_that_was_not_good_then_is_a_fault(
    report: Path, folder: Path, people: People
) -> None:
    signed, _ = sign_report_as(report, folder, people.key(BEA), None)
    change(
        folder, "UPDATE person SET until = '2026-01-01T00:00:00.000Z' WHERE name LIKE '%Officer'"
    )
    assert f"NOT REGISTERED THEN: the key of {BEA}" in str(verified(signed, folder)["faults"])


def test_who_was_retired_since_signed_validly_then(
    report: Path, folder: Path, people: People
) -> None:
    signed, _ = sign_report_as(report, folder, people.key(CLEO), None)
    people.together(ADA, BEA, "person.retire", ("person", CLEO))
    answer = verified(signed, folder)
    assert f"{CLEO} (lead) is registered" in str(answer["checked"])
    assert not any("REGISTERED" in fault for fault in answer["faults"])  # type: ignore[attr-defined]


def test_whoever_has_no_right_or_no_record_signs_nothing(
    report: Path, folder: Path, people: People
) -> None:
    people.add(DAN, "data-scientist", second=BEA)
    for key, why in ((people.key(DAN), "may not sign a report"),
                     (SigningKey.generate(), "nobody is registered under this key")):  # fmt: skip
        with pytest.raises(PolicyRefused, match=why):
            sign_report_as(report, folder, key, None)
    assert not report.with_name("report-signed.pdf").exists()


def test_only_a_pdf_is_signed_and_only_by_the_persons_own_key(
    report: Path, folder: Path, people: People
) -> None:
    bea = record_of(folder, BEA)
    with pytest.raises(WorkspaceRefused, match="only a PDF is signed"):
        sign_as_person(b"<html>", people.key(BEA), bea)
    with pytest.raises(PolicyRefused, match="not the one that Dr. Bea Officer is registered with"):
        sign_as_person(report.read_bytes(), people.key(ADA), bea)
    suspended = replace(bea, suspended=bea.since)
    with pytest.raises(PolicyRefused, match="was suspended"):
        sign_as_person(report.read_bytes(), people.key(BEA), suspended)


def test_on_a_copy_without_the_logs_key_nothing_is_signed(
    report: Path, folder: Path, people: People
) -> None:
    (folder / "coordinator.key").unlink()
    with pytest.raises(WorkspaceRefused, match="nothing was signed: nothing was logged"):
        sign_report_as(report, folder, people.key(BEA), None)


def test_the_report_stays_and_the_key_is_not_in_the_file(
    report: Path, folder: Path, people: People
) -> None:
    key = people.key(BEA)
    signed = sign_as_person(report.read_bytes(), key, record_of(folder, BEA))
    assert signed.startswith(report.read_bytes())
    secret = key.to_bytes()
    assert secret not in signed and secret.hex().encode() not in signed.lower()
    [found] = signatures_of(signed, ())
    assert found.holds and found.end == len(signed) and found.name == BEA


def test_the_certificate_of_a_key_is_the_same_every_time_and_holds_while_it_is_registered(
    folder: Path, people: People
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(people.key(BEA).to_bytes())
    bea = record_of(folder, BEA)
    one, two = person_certificate(private, bea), person_certificate(private, bea)
    assert one == two and one.issuer == one.subject
    assert one.not_valid_after_utc.isoformat()[:19] == bea.expires[:19]
    long = replace(bea, name="x" * 100)
    name = person_certificate(private, long).subject.get_attributes_for_oid(
        x509.NameOID.COMMON_NAME
    )
    assert name[0].value == "x" * 64
