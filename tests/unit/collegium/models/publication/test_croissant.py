"""Croissant descriptions: what a study declares, and nothing of a patient."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from collegium.cli import main as cli
from collegium.models.publication.croissant import (
    CROISSANT,
    DatasetTerms,
    croissant_bytes,
    hospital_dataset,
    study_dataset,
)
from collegium.studies.bundled import bundled_study
from protocol.encoding import digest
from protocol.errors import CohortRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.patients.own_records import freeze_cohort
from tests.support.hospital.hospital_home import make_east
from tests.support.simulated.studies import SURVIVAL_STUDY, TABLE_STUDY, changed

TERMS = DatasetTerms(published="2026-01-31")
#: What Croissant 1.1 asks of a data set, in the words of its specification.
REQUIRED = (
    "@context", "@type", "conformsTo", "description", "license", "name", "url", "creator",
    "datePublished", "distribution",
)  # fmt: skip


def fields(dataset: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the fields of the records, by name."""
    (records,) = [one for one in dataset["recordSet"] if one["@id"] == "records"]
    return {one["name"]: one for one in records["field"]}


@pytest.mark.parametrize(
    "study",
    [read_study(TABLE_STUDY), read_study(SURVIVAL_STUDY), bundled_study("heart-disease").study],
    ids=["table", "survival", "heart"],
)
def test_a_description_has_what_the_specification_requires(study: Study) -> None:
    dataset = study_dataset(study, TERMS)
    assert all(name in dataset for name in REQUIRED)
    assert dataset["@type"] == "sc:Dataset" and CROISSANT in dataset["conformsTo"]
    names = [field["@id"] for one in dataset["recordSet"] for field in one["field"]]
    names += [one["@id"] for one in dataset["recordSet"]]
    assert len(names) == len({*names})
    for one in dataset["recordSet"]:
        for field in one["field"]:
            assert field["dataType"] and field["@type"] == "cr:Field"
            if "references" in field:
                assert field["references"]["field"]["@id"] in names
    (files,) = dataset["distribution"]
    assert files["@type"] == "cr:FileSet" and not {"contentUrl", "sha256"} & files.keys()
    assert croissant_bytes(dataset) == croissant_bytes(study_dataset(study, TERMS))


def test_columns_are_described_with_type_range_unit_and_levels() -> None:
    text = changed(
        "range: [0, 120], centre: 50, scale: 20",
        "range: [0, 120], centre: 50, scale: 20, unit: a, units: {mo: 0.0833}, outside: clip",
    )
    dataset = study_dataset(read_study(text), TERMS)
    age = fields(dataset)["age"]
    assert age["dataType"] == "sc:Float"
    assert age["description"] == (
        "age: a number of 0 to 120 a; what lies outside is clipped; a hospital may have it in mo, "
        "which is converted"
    )
    (ward,) = [one for one in dataset["recordSet"] if one["@id"] == "ward-values"]
    assert [one["ward-values/value"] for one in ward["data"]] == ["A", "B", "C"]
    label = fields(dataset)["ill"]
    assert label["dataType"] == ["sc:Text", "cr:Label"]
    assert label["description"] == "ill: the label; ill: 1; not ill: 0"


def test_exclusion_imputation_and_groups_are_told_as_responsible_use() -> None:
    text = changed("values: [A, B, C]}", "values: [A, B, C], impute: A}").replace(
        "evaluation: {bins: 8}", "evaluation: {bins: 8, groups: {ward: {column: ward, values: "
        "{surgery: A, medicine: [B, C]}}}}",
    )  # fmt: skip
    dataset = study_dataset(read_study(text), TERMS)
    assert dataset["rai:dataImputationProtocol"] == "A missing cell is replaced: ward by A."
    assert dataset["rai:personalSensitiveInformation"] == [
        "health data of patients",
        "ward: groups of patients, told apart by the column ward",
    ]
    assert "is refused" in dataset["rai:dataPreprocessingProtocol"][0]
    assert any("fewer than 4 patients" in one for one in dataset["rai:dataLimitations"])


def test_a_hospitals_description_names_its_file_by_digest_and_no_count(tmp_path: Path) -> None:
    study = read_study(TABLE_STUDY)
    home, file = make_east(tmp_path), None
    with pytest.raises(CohortRefused, match="no cohort is frozen"):
        hospital_dataset(home, study, TERMS)
    frozen, _ = freeze_cohort(home, study, tmp_path, by="Ada")
    dataset = hospital_dataset(home, study, TERMS)
    (file,) = dataset["distribution"]
    assert file["sha256"] == frozen.source.sha256
    assert dataset["version"] == "1.0.0" and dataset["datePublished"] == frozen.frozen_at[:10]
    age = fields(dataset)["age"]
    assert age["source"] == {
        "fileObject": {"@id": file["@id"]}, "extract": {"column": "age"},
    }  # fmt: skip
    told = json.dumps(dataset)
    for number in (frozen.patients, frozen.training, frozen.evaluation):
        assert f" {number} patient" not in told
    assert frozen.digest not in told


def test_the_commands_write_descriptions(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(TABLE_STUDY, encoding="utf-8")
    to = tmp_path / "croissant.json"
    words = ["study", "croissant", str(tmp_path / "study.yaml"), "--to", str(to)]
    done = CliRunner().invoke(cli.app, [*words, "--published", "2026-01-31", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "file": str(to), "sha256": digest(to.read_bytes()), "fields": 5,
    }  # fmt: skip
    assert json.loads(to.read_bytes())["datePublished"] == "2026-01-31"
    home = make_east(tmp_path)
    freeze_cohort(home, read_study(TABLE_STUDY), tmp_path, by="Ada")
    own = tmp_path / "own.json"
    words = ["silo", "croissant", str(tmp_path / "study.yaml"), "--home", str(home), "--to"]
    done = CliRunner().invoke(cli.app, [*words, str(own)])
    assert done.exit_code == 0, done.output
    assert own.stat().st_mode & 0o777 == 0o600
