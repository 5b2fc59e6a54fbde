"""``silo check`` is green on OMOP tables and FHIR resources, and says who is left out and why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.study.study_file import read_study
from silos.config.site_file import read_site_file
from silos.config.study_authorization import refusals_here
from silos.preflight.checks import SiteCheck
from tests.support.hospital.clinical_tables import (
    STUDY,
    UNTIL,
    fhir_resources,
    omop_tables,
    patients,
    write_ndjson,
    write_tables,
)
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.preflight import check_quickly
from tests.support.hospital.sites import SITE

FOUND = patients(300)
COLUMNS = "age, sex, sbp, mean_sbp, smoker, diabetes, drugs, person, readmitted"
ALLOWED = {
    "omop": "age, sex, 9201, 3004249, 43054909, 201820, 1503297",
    "fhir": 'age, sex, "http://terminology.hl7.org/CodeSystem/v3-ActCode|IMP", '
    '"http://loinc.org|8480-6", "http://loinc.org|72166-2", "http://snomed.info/sct|73211009", '
    '"http://snomed.info/sct|44054006", "http://www.nlm.nih.gov/research/umls/rxnorm|6809"',
}
KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "omop": (
        "{kind: omop, folder: cdm}",
        lambda home: write_tables(home / "cdm", omop_tables(FOUND)),
    ),
    "fhir": (
        f"{{kind: fhir, folder: export, complete_until: '{UNTIL}'}}",
        lambda home: write_ndjson(home / "export", list(fhir_resources(FOUND))),
    ),
}


def site_text(kind: str) -> str:
    site = SITE.replace("{kind: file, path: east.csv}", KINDS[kind][0])
    site = site.replace("age, ward, patient, ill]", f"{COLUMNS}]\n  clinical: [{ALLOWED[kind]}]")
    return site.replace("to be tested", "a visit at home")


def check(tmp_path: Path, kind: str) -> SiteCheck:
    home = make_east(tmp_path, site=site_text(kind))
    KINDS[kind][1](home)
    return check_quickly(home, read_study(STUDY), tmp_path)


@pytest.mark.parametrize("kind", ["omop", pytest.param("fhir", marks=pytest.mark.long)])
def test_records_fit_and_persons_are_counted(kind: str, tmp_path: Path) -> None:
    found = check(tmp_path, kind)
    bad = {entry.what for entry in found.findings if entry.state == "bad"}
    assert bad == {"approval", "certificate"}
    said = {entry.what: entry.finding for entry in found.findings}
    assert "fit the contract" in said["records"]
    assert said["persons"].startswith("300 in the source, 2")
    assert "have no event that the study begins with" in said["persons"]
    assert said["records-left-out"].startswith("column 'readmitted': ")
    assert said["records-left-out"].count("rows were not observed to day 30") == 1
    quality = found.records.quality
    assert quality is not None and quality.file.rows > 250


@pytest.mark.parametrize(
    ("kind", "name"), [("omop", "201820"), ("fhir", "http://loinc.org|8480-6")]
)
def test_a_study_may_ask_for_what_the_policy_names_and_for_nothing_else(
    kind: str, name: str
) -> None:
    """A column's name is the study's own: ``age`` could be made of anything."""
    study, site = read_study(STUDY), site_text(kind)
    assert not refusals_here(read_site_file(site), study, simulated=False)
    less = read_site_file(site.replace(name, "sex" if kind == "omop" else "urn:x|y"))
    (refused,) = refusals_here(less, study, simulated=False)
    assert refused.where == "policy.clinical"
    assert refused.what == f"the study asks for records that are not allowed: {name}"


def test_a_fault_of_clinical_records_is_told_by_its_name_file_and_line(tmp_path: Path) -> None:
    home = make_east(tmp_path, site=site_text("omop"))
    KINDS["omop"][1](home)
    path = home / "cdm" / "drug_exposure.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, rows[0], "1,2", ""]))
    (found,) = (
        entry
        for entry in check_quickly(home, read_study(STUDY), tmp_path).findings
        if entry.see.endswith("#uneven-line")
    )
    assert found.finding.startswith("drug_exposure.csv: line 3: 2 cells where ")


def test_cells_made_of_records_in_another_unit_are_counted(tmp_path: Path) -> None:
    home = make_east(tmp_path, site=site_text("omop"))
    tables = omop_tables(FOUND)
    for row in tables["measurement"]:
        row["value_as_number"] = str(float(row["value_as_number"]) / 8)
        row["unit_concept_id"] = "44777602"
    write_tables(home / "cdm", tables)
    text = STUDY.replace('{"mm[Hg]": [8876]}', '{"mm[Hg]": [8876], kPa: [44777602]}')
    text = text.replace("impute: 130", "impute: 130\n      unit: mmHg\n      units: {kPa: 8}")
    quality = check_quickly(home, read_study(text), tmp_path).records.quality
    assert quality is not None
    told = {column["name"]: column["converted"] for column in quality.to_json()["columns"]}
    assert told["sbp"] not in (0, "fewer than 10") and told["age"] == 0
