"""FHIR Consent is given, refused or nothing, by its status, provisions and periods."""

from datetime import date
from pathlib import Path

import pytest
from fhir.resources.R4B.consent import Consent

from pipelines.sources.clinical.fhir.consent import PatientConsent, consents_in
from pipelines.sources.clinical.fhir.ndjson import ResourceFolder
from pipelines.sources.clinical.tally import Tally
from tests.support.hospital.clinical_tables import Resource, write_ndjson

TODAY = date(2026, 5, 1)
RESEARCH = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}
CODE = f"{RESEARCH['system']}|{RESEARCH['code']}"
OPT_OUT = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]
}


def consent(provision: Resource | None, status: str = "active", **elements: object) -> Resource:
    return {
        "resourceType": "Consent",
        "status": status,
        "scope": {"coding": [{"code": "research"}]},
        "category": [{"coding": [{"code": "research"}]}],
        "patient": {"reference": "Patient/7"},
        **({} if provision is None else {"provision": provision}),
        **elements,
    }


def read(folder: Path, *resources: Resource, **given: object) -> tuple[list[PatientConsent], Tally]:
    for each in resources:
        if each["resourceType"] == "Consent":
            Consent.model_validate(each)
    tally = Tally()
    found = ResourceFolder(write_ndjson(folder / "fhir", list(resources)))
    return list(consents_in(found, tally, today=TODAY, **given)), tally  # type: ignore[arg-type]


def of(
    purpose: str, *, given: bool, until: date | None = None, but: tuple[str, ...] = ()
) -> PatientConsent:
    return PatientConsent("7", purpose, given, until, but)


PERMIT, DENY = {"type": "permit"}, {"type": "deny"}
SAID: dict[str, tuple[Resource, list[PatientConsent]]] = {
    "to everything": (consent(PERMIT), [of("all", given=True)]),
    "to a purpose": (consent(PERMIT | {"purpose": [RESEARCH]}), [of(CODE, given=True)]),
    "until a day": (
        consent(PERMIT | {"period": {"end": "2027-12"}}),
        [of("all", given=True, until=date(2027, 12, 31))],
    ),
    "refused": (consent(DENY), [of("all", given=False)]),
    "rejected": (consent(None, status="rejected"), [of("all", given=False)]),
    "opted out": (consent(None, policyRule=OPT_OUT), [of("all", given=False)]),
    "to all but a purpose": (
        consent(PERMIT | {"provision": [DENY | {"purpose": [RESEARCH]}]}),
        [of("all", given=True), of(CODE, given=False)],
    ),
    "to one purpose alone": (
        consent(
            DENY | {"period": {"end": "2030"}, "provision": [PERMIT | {"purpose": [RESEARCH]}]}
        ),
        [
            of("all", given=False, until=date(2030, 12, 31), but=(CODE,)),
            of(CODE, given=True, until=date(2030, 12, 31)),
        ],
    ),
    "by a policy's code": (
        consent(DENY | {"provision": [PERMIT | {"code": [{"coding": [RESEARCH]}]}]}),
        [of("all", given=False, but=(CODE,)), of(CODE, given=True)],
    ),
    "to nothing but one person": (
        consent(DENY | {"provision": [PERMIT | {"action": [{"coding": [{"code": "collect"}]}]}]}),
        [of("all", given=False)],
    ),
    "to nothing but a purpose, once": (
        consent(
            DENY | {"provision": [PERMIT | {"purpose": [RESEARCH], "period": {"end": "2020"}}]}
        ),
        [of("all", given=False), of(CODE, given=True, until=date(2020, 12, 31))],
    ),
    "to a purpose but for what stands deeper": (
        consent(PERMIT | {"provision": [PERMIT | {"provision": [DENY | {"purpose": [RESEARCH]}]}]}),
        [of("all", given=True), of("all", given=True), of(CODE, given=False)],
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_a_consent_says_what_it_says(name: str, tmp_path: Path) -> None:
    resource, statements = SAID[name]
    assert read(tmp_path, resource)[0] == statements


NOTHING: dict[str, tuple[Resource, str]] = {
    "a draft": (consent(PERMIT, status="draft"), "are not active"),
    "entered in error": (consent(PERMIT, status="entered-in-error"), "are not active"),
    "ended": (consent(PERMIT, status="inactive"), "are not active"),
    "for some people": (
        consent(PERMIT | {"action": [{"coding": [{"code": "collect"}]}]}),
        "permit only some data, people or actions",
    ),
    "from next year on": (consent(PERMIT | {"period": {"start": "2027"}}), "begin later"),
    "neither": (consent({"purpose": [RESEARCH]}), "neither permit nor deny"),
    "of a group": (consent(PERMIT, patient={"reference": "Group/7"}), "name no patient"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_no_consent_says_nothing_and_is_counted(name: str, tmp_path: Path) -> None:
    resource, reason = NOTHING[name]
    statements, tally = read(tmp_path, resource)
    assert statements == []
    (note,) = tally.notes
    assert reason in note.found and note.found.startswith("fewer than 10 ")


def test_patients_and_purposes_go_by_the_hospitals_names(tmp_path: Path) -> None:
    patient = {
        "resourceType": "Patient",
        "id": "7",
        "identifier": [{"system": "urn:numbers", "value": "0042"}],
    }
    found, _ = read(
        tmp_path,
        patient,
        consent(PERMIT | {"purpose": [RESEARCH]}),
        identifier="urn:numbers",
        purposes={CODE: "research"},
    )
    assert found == [PatientConsent("0042", "research", True, None)]
