"""The scripts of the examples write what their studies read."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from collegium.output.console import answers
from collegium.studies.authoring.from_bundle import (
    BundleChoices,
    study_from_bundle,
    write_from_bundle,
)
from collegium.studies.preflight import check_records
from pipelines.networks.networks import build
from protocol.study.study_file import read_study_file
from tests import ROOT

MODES = ROOT / "examples" / "pneumonia-modes"
SURVIVAL = ROOT / "examples" / "breast-cancer-survival"
FUSION = ROOT / "examples" / "late-fusion"
READMISSION = ROOT / "examples" / "readmission"
SEGMENTATION = ROOT / "examples" / "segmentation-3d"
PNEUMONIA = ROOT.parent / "shared" / "data" / "pneumoniamnist"
TCGA = ROOT.parent / "shared" / "data" / "tcga_brca"


@pytest.mark.shared_data
@pytest.mark.skipif(not TCGA.is_dir(), reason="../shared/data/tcga_brca is not there")
def test_six_regions_have_the_patients_and_events_that_the_page_names(tmp_path: Path) -> None:
    table = runpy.run_path(str(SURVIVAL / "prepare.py"))["joined"](TCGA)
    table.to_csv(tmp_path / "breast-cancer.csv", index=False)
    train, test = (table[table["part"] == part] for part in ("train", "test"))
    assert (len(train), int(train["E"].sum())) == (866, 119)
    assert (len(test), int(test["E"].sum())) == (222, 32)
    study = read_study_file(SURVIVAL / "study.yaml")
    found = check_records(study, SURVIVAL, tmp_path, answers(True))["sites"]
    assert sum(site["train"]["patients"] for site in found.values()) == 866
    assert found["region-5"]["test"]["classes"] == {
        "event": "fewer than 10",
        "censored": "not shown",
    }


@pytest.mark.shared_data
@pytest.mark.skipif(not PNEUMONIA.is_dir(), reason="../shared/data/pneumoniamnist is not there")
def test_the_forty_images_that_stand_for_published_ones_are_in_no_hospital(tmp_path: Path) -> None:
    script = runpy.run_path(str(MODES / "devices.py"))
    script["main"](PNEUMONIA, tmp_path / "devices", steps=1)
    folders = (PNEUMONIA, tmp_path / "devices")
    whole, left = (dict(np.load(folder / "dev_train_val.npz")) for folder in folders)
    out = script["held_out"](whole)
    assert np.bincount(whole["train_labels"].ravel()[out]).tolist() == [20, 20]
    assert len(left["train_images"]) == len(whole["train_images"]) - 40
    hospitals = {image.tobytes() for part in ("train", "val") for image in left[f"{part}_images"]}
    twins = [at for at in out if whole["train_images"][at].tobytes() in hospitals]
    assert twins == []
    ours = read_study_file(MODES / "per-site.yaml")
    for name in script["DEVICES"]:
        study = read_study_file(tmp_path / "devices" / f"{name}.yaml")
        build(study.task, study.cohort, seed=1)
        assert (study.cohort, study.privacy, study.split) == (ours.cohort, ours.privacy, ours.split)
    found = check_records(study, MODES, tmp_path / "devices", answers(True))["sites"]
    counts = {site.name: found[site.name]["train"]["patients"] for site in study.sites}
    assert sum(counts.values()) == 4668
    assert all(counts[site.name] <= site.patients < counts[site.name] + 100 for site in study.sites)


def test_volumes_of_three_scanners_fit_their_study(tmp_path: Path) -> None:
    script = runpy.run_path(str(SEGMENTATION / "make_volumes.py"))
    script["main"](tmp_path)
    study = read_study_file(SEGMENTATION / "study.yaml")
    found = check_records(study, SEGMENTATION, tmp_path, answers(True))["sites"]
    assert {site["train"]["patients"] for site in found.values()} == {30}
    again = script["drawn"](script["SCANNERS"]["north"], 2, 10)
    assert (again["images"] == script["drawn"](script["SCANNERS"]["north"], 2, 10)["images"]).all()


def test_as_many_volumes_as_are_asked_for_fit_the_private_study(tmp_path: Path) -> None:
    script = runpy.run_path(str(SEGMENTATION / "make_volumes.py"))
    script["main"](tmp_path, {"train": 20, "test": 5})
    study = read_study_file(SEGMENTATION / "private.yaml")
    found = check_records(study, SEGMENTATION, tmp_path, answers(True))["sites"]
    assert {site["whole"]["patients"] for site in found.values()} == {25}
    assert {site["test"]["patients"] for site in found.values()} == {"fewer than 10"}


def test_a_bundle_of_spheres_begins_a_study_of_these_volumes(tmp_path: Path) -> None:
    runpy.run_path(str(SEGMENTATION / "make_bundle.py"))["main"](tmp_path / "spheres", steps=1)
    made = study_from_bundle(tmp_path / "spheres", BundleChoices())
    to = tmp_path / "study.yaml"
    write_from_bundle(to, made)
    assert made.text.count("centre: 0") == 1 and made.weights is not None
    to.write_text(runpy.run_path(str(SEGMENTATION / "begin.py"))["filled_in"](made.text))
    study, ours = read_study_file(to), read_study_file(SEGMENTATION / "study.yaml")
    assert (study.sites, study.split, study.privacy) == (ours.sites, ours.split, ours.privacy)
    assert study.task.network == ours.task.network and study.training.rounds == 1
    assert study.task.pretrained is not None and len(study.task.pretrained.tensors) > 40


def test_patients_with_an_image_and_columns_fit_the_three_studies(tmp_path: Path) -> None:
    script = runpy.run_path(str(FUSION / "make_patients.py"))
    script["main"](tmp_path)
    ill = {}
    for name in ("study", "image-alone", "table-alone"):
        study = read_study_file(FUSION / f"{name}.yaml")
        found = check_records(study, FUSION, tmp_path, answers(True))["sites"]
        assert {
            (site["train"]["patients"], site["test"]["patients"]) for site in found.values()
        } == {(400, 200)}
        ill[name] = [site["test"]["patients_ill"] for site in found.values()]
        missing = {site["file"]["missing"].get("haemoglobin", 0) > 0 for site in found.values()}
        assert missing == {name != "image-alone"}
    assert ill["study"] == ill["image-alone"] == ill["table-alone"]
    again = script["drawn"](script["SCANNERS"]["west"], 400, 30)
    with np.load(tmp_path / "west.npz") as kept:
        np.testing.assert_array_equal(kept["train_images"], again["images"])


@pytest.mark.parametrize(
    ("name", "file", "test_patients"),
    [("digits", "digits.csv", 448), ("diabetes-progression", "diabetes.csv", 109)],
)
def test_records_that_scikit_learn_ships_fit_their_study(
    tmp_path: Path, name: str, file: str, test_patients: int
) -> None:
    folder = ROOT / "examples" / name
    runpy.run_path(str(folder / "prepare.py"))["table"]().to_csv(tmp_path / file, index=False)
    study = read_study_file(folder / "study.yaml")
    found = check_records(study, folder, tmp_path, answers(True))["sites"]
    assert set(found) == set(study.site_names)
    assert sum(site["test"]["patients"] for site in found.values()) == test_patients
    for site in study.sites:
        assert found[site.name]["train"]["patients"] <= site.patients


def test_patients_of_three_hospitals_fit_their_study(tmp_path: Path) -> None:
    script = runpy.run_path(str(READMISSION / "make_patients.py"))
    script["main"](tmp_path)
    study = read_study_file(READMISSION / "study.yaml")
    found = check_records(study, READMISSION, tmp_path, answers(True))["sites"]
    assert {name: site["train"]["patients"] > 300 for name, site in found.items()} == {
        "east": True,
        "north": True,
        "south": True,
    }
    assert (tmp_path / "south-omop" / "measurement.csv").is_file()
    assert (tmp_path / "south-fhir" / "Observation.000.ndjson").is_file()
