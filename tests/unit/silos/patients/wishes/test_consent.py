"""Patients without consent to a study's purpose never enter it, and are counted, not named."""

import json
from datetime import date
from pathlib import Path

import pytest

from pipelines.sources.clinical.fhir.consent import PatientConsent
from pipelines.sources.faults import faults_of
from protocol.errors import CohortRefused, SiteFileRefused
from silos.config.site_file import read_site_file, site_file_of
from silos.patients.marks import PatientMarks
from silos.patients.opt_outs import opt_out
from silos.patients.used_patients import use_of
from silos.patients.wishes.consent import consents_to, read_consent_file
from silos.preflight.checks import check_site
from silos.preflight.findings import Finding
from tests import ROOT
from tests.support.hospital.hospital_home import OFFICER, make_east
from tests.support.hospital.preflight import check_quickly
from tests.support.hospital.sites import SITE
from tests.support.networked.joining import frozen_anew, joined
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study
from tests.unit.collegium.cli.test_silo_commands import Person, person

__all__ = ["person"]

TODAY = date(2026, 12, 1)
PURPOSE = "Predicting heart disease, in four hospitals."


def stated(purpose: str = "all", given: bool = True, until: date | None = None) -> PatientConsent:
    return PatientConsent("0012.0", purpose, given, until)


@pytest.mark.parametrize(
    ("statements", "gave", "refused"),
    [
        ([stated()], True, False),
        ([stated("heart disease")], True, False),
        ([stated("Heart-Disease")], True, False),
        ([stated("disease heart")], False, False),
        ([stated("heart")], True, False),
        ([stated("hear")], False, False),
        ([stated(until=TODAY)], True, False),
        ([stated(until=date(2026, 11, 30))], False, False),
        ([stated(given=False)], False, True),
        ([stated(), stated("heart disease", given=False)], False, True),
        ([stated("heart disease", given=False), stated()], False, True),
        ([stated("diabetes", given=False), stated("heart disease")], True, False),
        ([stated(given=False, until=date(2026, 1, 1)), stated()], True, False),
        ([], False, False),
    ],
)
def test_consent_counts_for_its_purpose_and_until_its_date(
    statements: list[PatientConsent], gave: bool, refused: bool
) -> None:
    found = consents_to(PURPOSE, statements, today=TODAY)
    assert (found.given, found.refused) == (
        frozenset({"12"} if gave else ()), frozenset({"12"} if refused else ())
    )  # fmt: skip


def test_a_refusal_of_all_but_some_purposes_is_one_to_every_other_study() -> None:
    refused = stated(given=False)._replace(but=("treatment",))
    assert consents_to("To be tested.", [refused], today=TODAY).refused == {"12"}
    assert not consents_to("The treatment of asthma.", [refused], today=TODAY).refused


def test_a_file_may_name_several_purposes_with_either_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "consent.csv"
    for delimiter in ",;":
        lines = ["patient,purpose,consent,until", "7,heart disease | Diabetes,given,2027-01-31",
                 "", "8,all,refused,"]  # fmt: skip
        path.write_text("\n".join(lines).replace(",", delimiter), encoding="utf-8-sig")
        assert list(read_consent_file(path)) == [
            ("7", "heart disease", True, date(2027, 1, 31), ()),
            ("7", "diabetes", True, date(2027, 1, 31), ()),
            ("8", "all", False, None, ()),
        ]


def test_a_consent_may_be_written_in_five_words_in_any_case(tmp_path: Path) -> None:
    words = {"given": True, "Yes": True, "refused": False, "No": False, "WITHDRAWN": False}
    lines = ["patient,purpose,consent,until", *(f"7,all,{word}," for word in words)]
    path = tmp_path / "consent.csv"
    path.write_text("\n".join(lines))
    assert [each.given for each in read_consent_file(path)] == [*words.values()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patient,consent\n1,given\n", "the header must be patient,purpose,consent,until"),
        ("", "the header must be"),
        ("patient,purpose,consent,until\n4711,all,given\n", "line 2: 3 cells, expected 4"),
        ("patient,purpose,consent,until\n ,all,given,\n", "line 2: no patient key"),
        ("patient,purpose,consent,until\n4711,all,4711,\n", "consent must be given or refused"),
        ("patient,purpose,consent,until\n4711,,given,\n", "purpose holds no word"),
        ("patient,purpose,consent,until\n4711,all,given,4711\n", "until must be a date"),
        ('patient,purpose,consent,until\n4711,"all,given,\n', "not CSV text"),
    ],
)
def test_a_wrong_line_is_named_and_never_what_stands_in_it(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "consent.csv"
    path.write_text(text)
    with pytest.raises(CohortRefused, match="consent.csv") as refused:
        list(read_consent_file(path))
    assert said in str(refused.value) and "4711" not in str(refused.value)
    with pytest.raises(CohortRefused, match="cannot be read"):
        list(read_consent_file(tmp_path / "absent.csv"))


def test_every_wrong_line_is_counted_by_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "consent.csv"
    bad = ["4711,all,given,31.12.2027", "4712,all,perhaps,", "4713,all,given,2027-13-01"]
    path.write_text("\n".join(["patient,purpose,consent,until", "1,all,given,", *bad, *bad]))
    with pytest.raises(CohortRefused) as refused:
        list(read_consent_file(path))
    dates, words = faults_of(refused.value)
    assert dates.found == (
        "consent.csv: line 3 (and 3 more lines): until must be a date such as 2027-12-31"
    )
    assert words.lines == [4, 7] and {dates.name, words.name} == {"consent-line"}
    assert "471" not in str(refused.value)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_east(tmp_path)


def ask_for_consent(home: Path, lines: list[str], *, required: bool = True) -> None:
    rules = f"{{consent: consent.csv, required: {str(required).lower()}}}"
    (home / "site.yaml").write_text(f"{SITE}patients: {rules}\n")
    text = "\n".join(["patient,purpose,consent,until", *lines])
    (home / "consent.csv").write_text(text + "\n")


def checked(home: Path) -> dict[str, Finding]:
    found = check_quickly(home, small_study(), home.parent)
    return {entry.what: entry for entry in found.findings}


def test_only_who_consented_enters_where_consent_is_required(home: Path) -> None:
    given = [f"east-{number},to be tested,given," for number in range(25)]
    ask_for_consent(home, [*given, "east-3,to be tested,refused,"])
    frozen = frozen_anew(home, TABLE_STUDY)
    assert (frozen.patients, frozen.left_out) == (24, 16)
    joined(home, TABLE_STUDY)
    assert use_of(home, "east-4").runs and not use_of(home, "east-3").runs
    found = checked(home)["consent"]
    assert found.finding == ("left out of these patients, without consent to this purpose: 16")


def test_all_but_who_refused_enter_where_consent_is_not_required(home: Path) -> None:
    ask_for_consent(home, ["east-3,all,refused,", "east-4,diabetes,refused,"], required=False)
    assert frozen_anew(home, TABLE_STUDY).left_out == 1
    found = checked(home)
    assert found["consent"].finding == (
        "left out of these patients, who refused this purpose: fewer than 10"
    )
    assert found["opt-outs"].finding == "nobody opted out here"
    assert found["cohort"].state == "ok" and "what is read is what was frozen" in (
        found["cohort"].finding
    )


def fhir_consent(patient: str, kind: str, **changes: object) -> dict[str, object]:
    purpose = {"system": "urn:purposes", "code": "T1"}
    resource = {
        "resourceType": "Consent",
        "status": "active",
        "patient": {"reference": f"Patient/{patient}"},
        "provision": {"type": kind, "purpose": [purpose]},
    }
    return {**resource, **changes}


@pytest.mark.parametrize(
    ("consented", "other"),
    [
        ("1E5", "100000"),
        ("101_0023", "1010023"),
        ("110105199001011210", "110105199001011208"),
    ],
)
def test_nobody_enters_by_the_consent_of_a_person_whose_key_looks_alike(
    home: Path, consented: str, other: str
) -> None:
    rows = (home / "east.csv").read_text()
    rows = rows.replace("east-12,", f"{consented},").replace("east-13,", f"{other},")
    (home / "east.csv").write_text(rows)
    ask_for_consent(home, [f"{consented},all,given,", *(f"east-{n},all,given," for n in range(12))])
    study = changed("min_patients: 4", "min_patients: 4\n  allow_one_class: true")  # by its split
    assert frozen_anew(home, study).patients == 13
    assert not PatientMarks(bytes(32)).of_key(consented) & PatientMarks(bytes(32)).of_key(other)


def test_consents_of_fhir_count_as_those_of_a_file_do(home: Path) -> None:
    export = home / "export"
    export.mkdir()
    rules = "{consent: export, required: true, purposes: {'urn:purposes|T1': To be tested}}"
    (home / "site.yaml").write_text(f"{SITE}patients: {rules}\n")

    def write(*resources: dict[str, object]) -> None:
        lines = "\n".join(json.dumps(resource) for resource in resources)
        (export / "Consent.ndjson").write_text(lines + "\n")

    given = [fhir_consent(f"east-{number}", "permit") for number in range(25)]
    write(*given, fhir_consent("east-3", "deny"), fhir_consent("east-30", "permit", status="draft"))
    frozen = frozen_anew(home, TABLE_STUDY)
    assert (frozen.patients, frozen.left_out) == (24, 16)
    write(*given[1:])  # one is taken back, and one who refused has not refused any more
    joined(home, TABLE_STUDY)
    assert not use_of(home, "east-0").runs and not use_of(home, "east-3").runs
    assert use_of(home, "east-4").runs


def test_statements_of_fhir_that_have_no_effect_are_told(home: Path) -> None:
    export = home / "export"
    export.mkdir()
    (home / "site.yaml").write_text(f"{SITE}patients: {{consent: export, required: false}}\n")
    said = [fhir_consent(f"east-{number}", "deny") for number in range(12)]  # of urn:purposes|T1
    drafts = [fhir_consent(f"east-{number}", "deny", status="draft") for number in range(3)]
    lines = "\n".join(json.dumps(resource) for resource in [*said, *drafts])
    (export / "Consent.ndjson").write_text(lines + "\n")
    found = check_site(home, small_study(), home, records_only=True).findings
    warned = {entry.finding: entry.remedy for entry in found if entry.state == "warn"}
    (remedy,) = [r for f, r in warned.items() if f.startswith("12 statements in Consent")]
    assert "patients.purposes" in " ".join(warned) and "neither a consent nor a refusal" in remedy
    assert any(f.startswith("fewer than 10 Consent resources are not active") for f in warned)


def test_a_folder_of_consents_that_cannot_be_read_is_told(home: Path) -> None:
    (home / "export").mkdir()
    (home / "site.yaml").write_text(f"{SITE}patients: {{consent: export, required: true}}\n")
    (home / "export" / "Consent.ndjson").write_text('{"resourceType": "Cons')
    found = [entry for entry in checked(home).values() if entry.state == "bad"]
    assert any("Consent.ndjson" in entry.finding and "line 1" in entry.finding for entry in found)


def test_consent_that_ended_takes_a_patient_out_and_new_consent_waits(home: Path) -> None:
    given = [f"east-{number},all,given," for number in range(30)]
    ask_for_consent(home, given)
    assert frozen_anew(home, TABLE_STUDY).patients == 30
    ask_for_consent(home, [*given[1:], "east-35,all,given,"])
    joined(home, TABLE_STUDY)
    assert not use_of(home, "east-0").runs and not use_of(home, "east-35").runs
    found = checked(home)["not frozen"]
    assert found.state == "warn" and "silo freeze" in found.remedy
    ask_for_consent(home, given)  # consented again: not for this version
    joined(home, TABLE_STUDY, "run-2")
    assert not use_of(home, "east-0").runs
    ask_for_consent(home, [*given, "east-35,all,given,"])
    assert frozen_anew(home, TABLE_STUDY).patients == 31
    joined(home, TABLE_STUDY, "run-3")
    assert [run.run_id for run in use_of(home, "east-0").runs] == ["run-3"]


def test_a_check_finds_a_changed_export(home: Path) -> None:
    frozen_anew(home, TABLE_STUDY)
    rows = (home / "east.csv").read_text().splitlines()
    (home / "east.csv").write_text("\n".join(rows[:-2]) + "\n")
    found = checked(home)["cohort"]
    assert found.state == "bad" and "(fewer than 10 missing)" in found.finding
    assert "collegium silo freeze" in found.remedy


def test_the_command_counts_and_hides_small_groups(home: Path, person: Person) -> None:
    """The example of docs/patients.md."""
    ask_for_consent(home, [f"east-{number},to be tested,given," for number in range(25)])
    opt_out(home, ["east-3"], by=OFFICER)
    asked = ("silo", "patients", "consent", home.parent / "study.yaml", "--home", home)
    assert person.runs(*asked) == 0
    page = (ROOT / "docs" / "patients.md").read_text()
    assert [line.split() for line in person.out.splitlines()] == [
        ["consent", "required"], ["may", "enter", "24"], ["without", "consent", "15"],
        ["opted", "out", "fewer", "than", "10"],
    ]  # fmt: skip
    assert person.out in page
    assert person.runs(*asked, "--json") == 0
    assert json.loads(person.out)["opted_out"] == "fewer than 10"


def test_the_command_freezes_once_and_shows_what(home: Path, person: Person) -> None:
    asked = ("silo", "freeze", home.parent / "study.yaml", "--home", home, "--by", OFFICER)
    assert person.runs(*asked, "--json") == 0
    first = json.loads(person.out)
    assert (first["version"], first["patients"], first["by"]) == (1, 40, OFFICER)
    assert person.runs(*asked) == 0
    assert "the records are the same" in person.out and first["digest"] in person.out


def test_required_consent_needs_a_file(home: Path) -> None:
    with pytest.raises(SiteFileRefused, match="name the file of consents"):
        read_site_file(f"{SITE}patients: {{required: true}}\n")
    ask_for_consent(home, [])
    (home / "consent.csv").unlink()
    assert site_file_of(home).patients.required
    with pytest.raises(CohortRefused, match="file of consents 'consent.csv' cannot be read"):
        joined(home, TABLE_STUDY)
