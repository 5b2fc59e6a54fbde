"""Imaging is counted by person and study, not by series or accession number."""

from pathlib import Path

import pytest

from pipelines.sources.clinical.clinical_source import FhirRecords, OmopRecords
from pipelines.sources.clinical.omop.table_folder import TableFolder
from pipelines.sources.source import Source
from pipelines.sources.tables.table import SourceTable
from protocol.study.cohort.cohort import TableCohort
from tests.support.hospital.clinical_tables import Resource, write_ndjson, write_tables

CT = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}
COHORT = TableCohort.model_validate(
    {
        "kind": "table",
        "patient_key": "person",
        "columns": [
            {
                "name": "scans",
                "kind": "number",
                "range": [0, 100],
                "clinical": {
                    "what": "imaging",
                    "take": "count",
                    "concepts": [2000000061],
                    "codes": [f"{CT['system']}|CT"],
                },
            }
        ],
        "label": {
            "column": "sex",
            "positive": ["male"],
            "negative": ["female"],
            "clinical": {"what": "sex"},
        },
    }
)
#: Person, study, series and accession number: three studies in six series, two of one accession.
SERIES = [
    ("1", "1.2.1", "1.2.1.1", "A1"),
    ("1", "1.2.1", "1.2.1.2", "A1"),
    ("1", "1.2.1", "1.2.1.3", "A1"),
    ("1", "1.2.2", "1.2.2.1", "A1"),
    ("2", "1.2.3", "1.2.3.1", "A2"),
    ("2", "1.2.3", "1.2.3.2", "A2"),
]


def omop(folder: Path) -> Source:
    images = [
        {
            "person_id": person,
            "modality_concept_id": "2000000061",
            "image_occurrence_date": "2024-01-01",
            "image_study_UID": study,
            "image_series_UID": series,
            "accession_id": accession,
        }
        for person, study, series, accession in SERIES
    ]
    persons = [
        {"person_id": key, "gender_concept_id": "8507", "year_of_birth": "1950"} for key in "12"
    ]
    write_tables(folder, {"person": persons, "image_occurrence": images})
    return OmopRecords(tables=lambda _site: TableFolder(folder))


def fhir(folder: Path) -> Source:
    resources: list[Resource] = [
        {"resourceType": "Patient", "id": key, "gender": "male"} for key in "12"
    ]
    for person, study, series, accession in SERIES:
        resources.append(
            {
                "resourceType": "ImagingStudy",
                "id": series,
                "status": "available",
                "subject": {"reference": f"Patient/{person}"},
                "modality": [CT],
                "identifier": [
                    {"system": "urn:dicom:uid", "value": study},
                    {"type": {"coding": [{"code": "ACSN"}]}, "value": accession},
                ],
            }
        )
    for each in resources[2:]:
        each["started"] = "2024-01-01"
    return FhirRecords(folder=write_ndjson(folder, resources))


@pytest.mark.parametrize("source", [omop, fhir])
def test_series_of_one_study_are_one_and_studies_of_one_accession_are_two(
    source: object, tmp_path: Path
) -> None:
    assert callable(source)
    table: SourceTable = source(tmp_path / "records").table(COHORT, site="east", keep=())
    assert list(table.cells["scans"]) == ["2.0", "1.0"]
    said = [note.found for note in table.notes]
    assert any("are further series of a study that is counted once" in each for each in said)
    assert any("have the accession number of another study" in each for each in said)
