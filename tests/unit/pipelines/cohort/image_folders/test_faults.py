"""The faults that cost hospitals weeks are each told by the table's lines, with a remedy.

Series counted as studies, and lines counted as persons, stand in ``tests/unit/silos/preflight``.
"""

import gzip
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.labels import MaskLabel
from tests.support.images.dicom_files import write_dicom, write_series
from tests.support.images.folders import cohort, load, volume, write_scans, write_table
from tests.support.images.nifti_files import write_nifti

MASKS = MaskLabel(mask="mask", classes={"none": (0,), "organ": (1,)})
BY_ROW = cohort().model_copy(update={"patient_key": "row"})


def refused(home: Path, contract: ImageCohort | None = None, **settings: Any) -> str:
    with pytest.raises(CohortRefused) as told:
        load(home, contract, **settings)
    return str(told.value)


NIFTI_DAMAGE = {
    "a type of numbers that is none": (70, "<h", 166),
    "pixels that begin nowhere": (108, "<f", math.nan),
    "a scale that is no number": (116, "<f", math.inf),
}


@pytest.mark.parametrize("name", NIFTI_DAMAGE)
def test_a_nifti_header_of_no_sense_is_refused(name: str, tmp_path: Path) -> None:
    write_scans(tmp_path)
    place, form, value = NIFTI_DAMAGE[name]
    path = tmp_path / "scans" / "s1.nii.gz"
    data = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<f", data, 112, 1.0)
    struct.pack_into(form, data, place, value)
    path.write_bytes(gzip.compress(bytes(data)))
    assert "line 3: the file is damaged or cut short" in refused(tmp_path)


def write_studies(home: Path, count: int = 4, **of_all: Any) -> list[dict[str, Any]]:
    """Writes one series for each of some patients, found by its accession or its UID."""
    rows = []
    for number in range(count):
        elements = {
            "PatientID": f"P{number}",
            "StudyInstanceUID": f"1.{number}",
            "SeriesInstanceUID": f"1.{number}.1",
            "AccessionNumber": f"A{number}",
        }
        write_series(home / "scans" / str(number), volume(number, (3, 5, 4)), **elements | of_all)
        rows.append(
            {"patient": f"P{number}", "image": f"A{number}", "labels": ("ill", "well")[number % 2]}
        )
    write_table(home / "labels.csv", rows)
    return rows


def test_a_series_is_found_by_accession_by_uid_and_by_folder_alike(tmp_path: Path) -> None:
    rows = write_studies(tmp_path)
    by_accession = load(tmp_path, by="accession")
    for number, row in enumerate(rows):
        row["image"] = f"1.{number}.1"
    write_table(tmp_path / "labels.csv", rows)
    by_series = load(tmp_path, by="series")
    for number, row in enumerate(rows):
        row["image"] = str(number)
    write_table(tmp_path / "labels.csv", rows)
    by_file = load(tmp_path)
    assert by_accession.digest == by_series.digest == by_file.digest
    for found in (by_accession, by_series, by_file):
        assert found.noted.scans is not None and found.noted.scans.unnamed == 0
        assert (found.noted.scans.studies, found.noted.scans.series) == (4, 4)


def two_studies(home: Path, rows: list[dict[str, Any]]) -> None:
    write_series(
        home / "scans" / "again", volume(9, (3, 5, 4)), PatientID="P1", AccessionNumber="A1",
        StudyInstanceUID="1.99", SeriesInstanceUID="1.99.1",
    )  # fmt: skip


def two_series(home: Path, rows: list[dict[str, Any]]) -> None:
    write_series(
        home / "scans" / "again", volume(9, (3, 5, 4)), PatientID="P1", AccessionNumber="A1",
        StudyInstanceUID="1.1", SeriesInstanceUID="1.1.2",
    )  # fmt: skip


def long_accession(home: Path, rows: list[dict[str, Any]]) -> None:
    rows[1]["image"] = "A1234567890123456"


def wildcard(home: Path, rows: list[dict[str, Any]]) -> None:
    rows[1]["image"] = "A*"


def not_exported(home: Path, rows: list[dict[str, Any]]) -> None:
    rows[1]["image"] = "A77"


def other_patient(home: Path, rows: list[dict[str, Any]]) -> None:
    rows[1]["patient"] = "MARKED"


@pytest.mark.parametrize(
    ("plant", "said", "remedy"),
    [
        (two_studies, "2 studies under one AccessionNumber", "data.by: series"),
        (two_series, "2 series where one was expected", "image.series"),
        (long_accession, "an accession number longer than 16 characters", "as the images have it"),
        (wildcard, "an accession number with *, ? or", "one number a line"),
        (not_exported, "no image of the folder has this AccessionNumber", "export its images"),
        (other_patient, "the header states another patient than the table", "header_patient"),
    ],
)
def test_a_fault_of_an_accession_is_told_by_its_line(
    tmp_path: Path, plant: Callable[..., None], said: str, remedy: str
) -> None:
    rows = write_studies(tmp_path)
    plant(tmp_path, rows)
    write_table(tmp_path / "labels.csv", rows)
    found = refused(tmp_path, by="accession")
    assert f"column 'image', line 3: {said}" in found and remedy in found
    assert found.count("\n") == 0 and "MARKED" not in found and "P1" not in found


def test_pseudonyms_are_compared_one_to_one(tmp_path: Path) -> None:
    rows = write_studies(tmp_path)
    for row in rows:
        row["patient"] = "X" + row["patient"]
    write_table(tmp_path / "labels.csv", rows)
    assert "line 2 (and 3 more lines): the header states another" in refused(
        tmp_path, by="accession"
    )
    load(tmp_path, by="accession", header_patient="other")
    rows[2]["patient"] = rows[1]["patient"]
    write_table(tmp_path / "labels.csv", rows)
    said = refused(tmp_path, by="accession", header_patient="other")
    assert "line 4: the table's patient has images of several persons" in said


def test_one_person_under_two_numbers_is_found(tmp_path: Path) -> None:
    write_studies(tmp_path, PatientID="P0")
    said = refused(tmp_path, by="accession", header_patient="other")
    assert "line 3 (and 2 more lines): the header's patient is, in the table, another" in said
    assert "lines are not persons" in refused(tmp_path, BY_ROW, by="accession")


def test_dicom_without_its_nifti_is_told_apart_from_a_file_that_is_not_there(
    tmp_path: Path,
) -> None:
    rows = write_scans(tmp_path, 4)
    for number in (1, 2):
        (tmp_path / "scans" / f"s{number}.nii.gz").unlink()
    write_series(tmp_path / "scans" / "s1", volume(1, (3, 5, 4)))
    write_table(tmp_path / "labels.csv", rows)
    said = refused(tmp_path)
    assert "line 3: the NIfTI is not there, though its DICOM is; convert it" in said
    assert "line 4: the file is not there; put it there" in said


@pytest.mark.parametrize("by", ["file", "series", "accession"])
def test_a_folder_that_is_not_there_is_told_with_where_it_is_looked_for(
    by: str, tmp_path: Path
) -> None:
    write_scans(tmp_path, 2)
    (tmp_path / "scans").rename(tmp_path / "images")
    said = refused(tmp_path, by=by)
    assert "there is no folder 'scans', which data.folder names: it is looked for beside" in said
    assert said.endswith("[no-file]") and tmp_path.name not in said


def test_an_image_without_mask_and_a_mask_without_image_are_told(tmp_path: Path) -> None:
    rows = write_scans(tmp_path, 4)
    for number, row in enumerate(rows):
        row["mask"] = f"m{number}.nii"
        write_nifti(tmp_path / "scans" / row["mask"], np.zeros((4, 5, 3), np.uint8))
    rows[0]["mask"] = ""
    rows[1]["image"] = ""
    (tmp_path / "scans" / "m2.nii").unlink()
    write_table(tmp_path / "labels.csv", rows)
    said = refused(tmp_path, cohort(MASKS))
    assert "column 'mask', line 2: an image without its mask" in said
    assert "column 'image', line 3: a mask without its image" in said
    assert "column 'mask', line 4: the file is not there" in said


@pytest.mark.parametrize(
    "elements",
    [
        {"BurnedInAnnotation": "YES"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"},
    ],
)
def test_burned_in_text_is_refused_unless_the_hospital_looked(
    tmp_path: Path, elements: dict[str, Any]
) -> None:
    rows = write_scans(tmp_path, 4)
    flat = cohort(shape=(5, 4))
    for number, row in enumerate(rows):
        row["image"] = f"{number}.dcm"
        own = elements if number == 2 else {}
        write_dicom(tmp_path / "scans" / row["image"], volume(number, (5, 4)), **own)
    write_table(tmp_path / "labels.csv", rows)
    said = refused(tmp_path, flat)
    assert "line 4: " in said and "burned_in: allowed under data" in said
    found = load(tmp_path, flat, burned_in="allowed")
    assert found.noted.scans is not None and found.noted.scans.written_on == 1


def test_what_the_header_says_of_burned_in_text_is_believed_of_ultrasound(tmp_path: Path) -> None:
    rows = write_scans(tmp_path, 2)
    for number, row in enumerate(rows):
        row["image"] = f"{number}.dcm"
        write_dicom(
            tmp_path / "scans" / row["image"], volume(number, (5, 4)),
            SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1", BurnedInAnnotation="NO",
        )  # fmt: skip
    write_table(tmp_path / "labels.csv", rows)
    assert len(load(tmp_path, cohort(shape=(5, 4)))) == 2


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    rows = write_scans(tmp_path, 3)
    write_nifti(tmp_path / "elsewhere.nii", volume(1))
    (tmp_path / "scans" / "s1.nii.gz").unlink()
    (tmp_path / "scans" / "s1.nii.gz").symlink_to(tmp_path / "elsewhere.nii")
    write_table(tmp_path / "labels.csv", rows)
    assert "line 3: a link that leads out of data.folder" in refused(tmp_path)


def test_nothing_stays_behind_after_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import tempfile

    monkeypatch.setattr("pipelines.sources.images.stored_rows.IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    write_scans(tmp_path, 4)
    write_nifti(tmp_path / "scans" / "s3.nii.gz", np.full((4, 5, 3), 30_000, np.int16))
    before = len(os.listdir("/proc/self/fd"))
    assert "line 5: a pixel is outside the range" in refused(tmp_path)
    assert not list((tmp_path / "temporary").iterdir())
    assert len(os.listdir("/proc/self/fd")) == before


def test_memory_does_not_grow_with_the_number_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracemalloc

    monkeypatch.setattr("pipelines.sources.images.stored_rows.IN_MEMORY_BYTES", 0)
    sides = (32, 32, 16)
    for number in range(24):
        write_nifti(tmp_path / "scans" / f"s{number}.nii.gz", volume(0, sides) // 8)
    peaks = []
    for count in (6, 24):
        rows = [
            {"patient": f"P{number}", "image": f"s{number}.nii.gz", "labels": "ill"}
            for number in range(count)
        ]
        write_table(tmp_path / "labels.csv", rows)
        tracemalloc.start()
        load(tmp_path, cohort(shape=sides))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    of_an_image = 4 * 32 * 32 * 16
    assert peaks[1] - peaks[0] < of_an_image
