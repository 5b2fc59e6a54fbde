"""Faults of FHIR resources: each is found, counted and named with its remedy, without a value."""

import gzip
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fhir.resources.R4B import get_fhir_model_class

from pipelines.cohort.loading import load_cohort
from pipelines.records import Records
from pipelines.sources.clinical.clinical_source import FhirRecords
from pipelines.sources.clinical.fhir import ndjson
from pipelines.sources.clinical.fhir.reading import ExportFacts
from pipelines.sources.faults import faults_of
from protocol.errors import CohortRefused
from protocol.study.study_file import read_study
from tests.support.hospital.clinical_tables import (
    STUDY,
    UNTIL,
    Resource,
    fhir_resources,
    patients,
    write_ndjson,
)

FOUND = patients(60)
FACTS = ExportFacts(complete_until=UNTIL.toordinal())
HOSPITAL = "https://hospital.example/patient-number"
Change = Callable[[list[Resource]], object]


def read(folder: Path, text: str = STUDY, facts: ExportFacts = FACTS) -> Records:
    return load_cohort(
        read_study(text).cohort, FhirRecords(folder=folder, facts=facts), site="east"
    )


def changed(tmp_path: Path, change: Change, name: str = "export") -> Path:
    resources = list(fhir_resources(FOUND))
    change(resources)
    return write_ndjson(tmp_path / name, resources)


def of(kind: str, resources: list[Resource], count: int = 10**6) -> list[Resource]:
    return [each for each in resources if each["resourceType"] == kind][:count]


def set_all(kind: str, count: int = 10**6, **elements: object) -> Change:
    def change(resources: list[Resource]) -> None:
        for each in of(kind, resources, count):
            each.update(elements)

    return change


def in_quantities(count: int, **elements: object) -> Change:
    def change(resources: list[Resource]) -> None:
        panels = [each for each in resources if "component" in each]
        for panel in panels[:count]:
            for component in panel["component"]:
                component["valueQuantity"].update(elements)

    return change


def without(kind: str) -> Change:
    def change(resources: list[Resource]) -> None:
        resources[:] = [each for each in resources if each["resourceType"] != kind]

    return change


def number_all(resources: list[Resource]) -> None:
    """Gives every Patient an id of its server, and its number as an identifier."""
    for each in resources:
        if each["resourceType"] == "Patient":
            each["identifier"] = [
                {"system": "https://other.example", "value": "1"},
                {"system": HOSPITAL, "value": each["id"]},
            ]
            each["id"] = f"server-{each['id']}"
        else:
            each["subject"] = {"reference": each["subject"]["reference"].replace("/", "/server-")}


def shows_no_value(said: str) -> bool:
    return not re.search(r"9[0-9]{5}|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{2,3}\.0", said)


def test_the_resources_of_these_tests_are_fhir_r4() -> None:
    seen = {}
    for each in fhir_resources(FOUND):
        seen.setdefault((each["resourceType"], "component" in each), each)
    assert len(seen) == 6
    for (kind, _), each in seen.items():
        get_fhir_model_class(kind).model_validate(each)


REFUSED: dict[str, tuple[Change, str]] = {
    "no resources of a type": (without("Condition"), "there is no file of Condition resources"),
    "another unit": (
        in_quantities(20, code="kPa", unit="kPa"),
        "column 'sbp': 20 records of Observation are in another unit, the study's is mm[Hg], the "
        "first in line",
    ),
    "no unit": (
        in_quantities(3, code=None, unit=None),
        "column 'sbp': fewer than 10 records of Observation tell no unit",
    ),
    "a patient twice": (
        lambda found: found.extend(of("Patient", found, 12)),
        "12 Patient resources repeat an id, the first in line 61 of Patient.000.ndjson",
    ),
    "no id": (set_all("Patient", 1, id=None), "Patient resources have no id"),
    "a reference to nobody": (
        set_all("MedicationRequest", 11, subject={"reference": "Patient/999999999"}),
        "11 records of MedicationRequest belong to no person of the source, the first in line 1 of "
        "MedicationRequest.000.ndjson",
    ),
    "a reference to a group": (
        set_all("MedicationRequest", 11, subject={"reference": "Group/1"}),
        "11 records of MedicationRequest belong to no person of the source, the first in line 1 of "
        "MedicationRequest.000.ndjson",
    ),
    "a contained patient": (
        set_all("MedicationRequest", 11, subject={"reference": "#p1"}),
        "11 records of MedicationRequest belong to no person of the source, the first in line 1 of "
        "MedicationRequest.000.ndjson",
    ),
    "another code system": (
        set_all("Condition", code={"coding": [{"system": "urn:local", "code": "44054006"}]}),
        "Condition resources, and none has a code of http://snomed.info/sct",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_fault_is_refused_by_name_and_count(name: str, tmp_path: Path) -> None:
    change, said = REFUSED[name]
    with pytest.raises(CohortRefused) as refused:
        read(changed(tmp_path, change))
    assert said in str(refused.value) and "site east: export: " in str(refused.value)
    assert shows_no_value(str(refused.value))


NOTED: dict[str, tuple[Change, str]] = {
    "entered in error": (
        set_all("Observation", 15, status="entered-in-error"),
        "15 Observation resources that the study asks for do not count by their status",
    ),
    "preliminary": (
        set_all("Observation", 3, status="preliminary"),
        "fewer than 10 Observation resources that the study asks for do not count",
    ),
    "cancelled": (
        set_all("MedicationRequest", 15, status="cancelled"),
        "15 MedicationRequest resources that the study asks for do not count",
    ),
    "refuted": (
        set_all(
            "Condition",
            11,
            verificationStatus={"coding": [{"system": "urn:x", "code": "refuted"}]},
        ),
        "11 Condition resources that the study asks for do not count by their verificationStatus",
    ),
    "without a value": (
        lambda found: (
            [each.pop("component") for each in of("Observation", found) if "component" in each][:0]
            or [
                each.update(code={"coding": [{"system": "http://loinc.org", "code": "8480-6"}]})
                for each in of("Observation", found)
                if "valueCodeableConcept" not in each
            ]
        ),
        "records of Observation have no number as their value",
    ),
    "another answer": (
        set_all("Observation", valueCodeableConcept={"coding": [{"system": "u", "code": "x"}]}),
        "records of Observation have an answer that the study does not list",
    ),
    "no date": (
        set_all("Condition", 12, onsetDateTime=None),
        "12 records of Condition have no date that can be read, the first in line",
    ),
    "before birth": (
        set_all("MedicationRequest", 25, authoredOn="1900-01-01"),
        "25 records lie before the person's birth",
    ),
    "dead on no day": (
        set_all("Patient", 10, deceasedBoolean=True, deceasedDateTime=None),
        "10 patients have died on a day that is not told",
    ),
    "a date in part": (
        set_all("Encounter", 10, period={"start": "2020", "end": "2020-03"}),
        "events that the study begins with have no whole date",
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_is_left_out_is_counted_with_its_reason(name: str, tmp_path: Path) -> None:
    change, said = NOTED[name]
    noted = read(changed(tmp_path, change)).noted.source
    found = [note for note in noted if said in note.found]
    assert found
    assert all(note.remedy for note in found)
    assert all(shows_no_value(f"{note.what} {note.found} {note.remedy}") for note in noted)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "absolute": lambda reference: f"https://fhir.example/r4/{reference}",
    "of a version": lambda reference: f"{reference}/_history/2",
    "by uuid": lambda reference: reference.replace("Patient/", "urn:uuid:"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_references_are_resolved_however_they_are_written(spelling: str, tmp_path: Path) -> None:
    def change(resources: list[Resource]) -> None:
        for each in resources:
            if "subject" in each:
                written = SPELLINGS[spelling](each["subject"]["reference"])
                each["subject"] = {"reference": written}

    as_it_was = read(changed(tmp_path, lambda _: None, "as-it-was"))
    assert read(changed(tmp_path, change)).digest == as_it_was.digest


def test_the_hospitals_own_number_may_be_an_identifier(tmp_path: Path) -> None:
    facts = ExportFacts(complete_until=UNTIL.toordinal(), identifier=HOSPITAL)
    as_it_was = read(changed(tmp_path, lambda _: None, "as-it-was"))
    numbered = read(changed(tmp_path, number_all), facts=facts)
    assert (numbered.digest, numbered.patient_keys) == (as_it_was.digest, as_it_was.patient_keys)


def test_two_patients_of_one_identifier_are_refused(tmp_path: Path) -> None:
    def change(resources: list[Resource]) -> None:
        number_all(resources)
        one, other = of("Patient", resources, 2)
        other["identifier"] = one["identifier"]

    facts = ExportFacts(complete_until=UNTIL.toordinal(), identifier=HOSPITAL)
    with pytest.raises(CohortRefused, match="Patient resources repeat another's identifier"):
        read(changed(tmp_path, change), facts=facts)


def test_times_in_another_zone_are_moved_to_the_hospitals_clock(tmp_path: Path) -> None:
    """23:30 in UTC is the next day in Berlin: after a stay that ended on that day."""
    ends = {p.key: min(end for _, end in p.stays) for p in FOUND if p.stays}

    def prescribed(write: Callable[[date], str]) -> Change:
        def change(resources: list[Resource]) -> None:
            for each in of("MedicationRequest", resources):
                key = each["subject"]["reference"].removeprefix("Patient/")
                each["authoredOn"] = write(ends.get(key, UNTIL))

        return change

    same_day = read(changed(tmp_path, prescribed(date.isoformat), "same"))
    after = prescribed(lambda day: (day + timedelta(days=1)).isoformat())
    next_day = read(changed(tmp_path, after, "next"))
    utc = changed(tmp_path, prescribed(lambda day: f"{day}T23:30:00Z"), "utc")
    berlin = ExportFacts(complete_until=UNTIL.toordinal(), zone=ZoneInfo("Europe/Berlin"))
    assert same_day.digest != next_day.digest
    assert read(utc).digest == same_day.digest
    assert read(utc, facts=berlin).digest == next_day.digest


def test_an_export_whose_end_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused, match="write complete_until: 'YYYY-MM-DD' under data"):
        read(changed(tmp_path, lambda _: None), facts=ExportFacts())


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        r"Patient.000.ndjson: line 60: not one whole JSON object",
    ),
    "another type": (
        lambda path: path.write_text(path.read_text() + '{"resourceType": "Observation"}\n'),
        r"Patient.000.ndjson: line 61: not a Patient",
    ),
    "a list": (
        lambda path: path.write_text(f"[]\n{path.read_text()}"),
        r"Patient.000.ndjson: line 1: not a JSON object",
    ),
    "a number without end": (
        lambda path: path.write_text(f'{{"id": {"9" * 5000}}}\n{path.read_text()}'),
        r"Patient.000.ndjson: line 1: not one whole JSON object",
    ),
    "damaged": (
        lambda path: path.write_bytes(gzip.compress(path.read_bytes())[:-40]),
        r"Patient.000.ndjson: line [0-9]+: the compressed file is damaged or cut off",
    ),
    "written over lines": (
        lambda path: path.write_text('{"resourceType":\n "Patient"}\n'),
        r"Patient.000.ndjson: line 1: not one whole JSON object",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    spoil, said = BROKEN[name]
    folder = changed(tmp_path, lambda _: None)
    spoil(folder / "Patient.000.ndjson")
    with pytest.raises(CohortRefused, match=f"^site east: {said}") as refused:
        read(folder)
    assert shows_no_value(str(refused.value))
    (fault,) = faults_of(refused.value)
    assert fault.name == ("damaged-file" if name == "damaged" else "broken-resource")
    assert len(fault.lines) == 1


def test_a_line_without_end_is_refused_before_it_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson, "MAX_LINE", 10_000)
    folder = changed(tmp_path, lambda _: None)
    (folder / "Patient.000.ndjson").write_bytes(gzip.compress(b'{"id": "' + b"a" * 20_000))
    with pytest.raises(CohortRefused, match="line 1: longer than 10000 bytes"):
        read(folder)


def test_a_folder_without_an_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused, match=r"there is no file that ends in \.ndjson"):
        read(tmp_path)


def test_files_of_other_names_may_hold_any_resource(tmp_path: Path) -> None:
    folder = changed(tmp_path, lambda _: None, "as-it-was")
    everything = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "1.ndjson").write_bytes(everything)
    assert read(tmp_path / "one").digest == read(folder).digest
