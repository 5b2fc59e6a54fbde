"""A table of labels and a folder of images become the records that an npz of them is."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.sources.description import SourceDescription, described
from protocol.errors import CohortRefused
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import FindingsLabel, MaskLabel, NumberLabel, SurvivalLabel
from tests.support.images.folders import (
    cohort,
    folder_of,
    load,
    volume,
    write_scans,
    write_table,
)
from tests.support.images.nifti_files import RAS, turned_affine, write_nifti

AGE = NumberColumn(name="age", kind="number", range=(0, 120), centre=50, scale=10)
MASKS = MaskLabel(mask="mask", classes={"none": (0,), "organ": (1,)})


def refused(home: Path, *args: object, **settings: object) -> str:
    with pytest.raises(CohortRefused) as told:
        load(home, *args, **settings)  # type: ignore[arg-type]
    return str(told.value)


def test_the_same_images_in_a_folder_and_in_an_npz_have_the_same_digest(tmp_path: Path) -> None:
    rows = write_scans(tmp_path)
    for place, row in enumerate(rows):
        row["age"] = 40 + place
    write_table(tmp_path / "labels.csv", rows)
    arrays = {}
    for part in ("train", "test"):
        own = [place for place, row in enumerate(rows) if row["part"] == part]
        arrays[f"{part}_images"] = np.stack([volume(place) for place in own])
        arrays[f"{part}_labels"] = np.array([rows[place]["labels"] for place in own])
        arrays[f"{part}_patient"] = np.array([rows[place]["patient"] for place in own])
        arrays[f"{part}_age"] = np.array([rows[place]["age"] for place in own])
    np.savez(tmp_path / "images.npz", **arrays)
    contract = cohort(columns=[AGE])
    found = load(tmp_path, contract, keep=("part",), part="part")
    same = load_cohort(contract, tmp_path / "images.npz", site="north", keep=("part",))
    assert found.digest == same.digest
    assert found.patient_keys == same.patient_keys
    assert found.columns["part"].tolist() == same.columns["part"].tolist()
    assert found.rows.tolist() == [0, 1, 3, 4, 2, 5]  # the table's own lines


def test_a_turned_image_is_the_same_record(tmp_path: Path) -> None:
    write_scans(tmp_path)
    before = load(tmp_path).digest
    for number, letters in enumerate(("LPS", "PIR", "SAL")):
        voxels = volume(number)
        import nibabel

        to = nibabel.orientations.axcodes2ornt(tuple(letters))
        turned = nibabel.orientations.apply_orientation(
            voxels,
            nibabel.orientations.ornt_transform(
                nibabel.orientations.axcodes2ornt(tuple("RAS")), to
            ),
        )
        affine = turned_affine(letters, voxels.shape, (1.0, 2.0, 3.0))
        write_nifti(tmp_path / "scans" / f"s{number}.nii.gz", turned, affine)
    found = load(tmp_path)
    assert found.digest == before
    assert found.noted.scans is not None
    assert found.noted.scans.orientations == {"LPS": 1, "PIR": 1, "SAL": 1, "RAS": 3}
    assert found.noted.scans.spacings == {"1.00 x 2.00 x 3.00": 6}


def test_an_orientation_of_the_study_turns_the_axes(tmp_path: Path) -> None:
    write_scans(tmp_path, 3)
    usual = load(tmp_path).features[0, 0]
    turned = load(tmp_path, cohort(orientation="LPS")).features[0, 0]
    assert np.array_equal(turned, usual[::-1, ::-1])
    other = load(tmp_path, cohort(orientation="SRA", shape=(3, 4, 5))).features[0, 0]
    assert np.array_equal(other, usual.transpose(2, 0, 1))


def test_masks_are_turned_as_their_images_and_become_classes(tmp_path: Path) -> None:
    rows = write_scans(tmp_path, 3)
    for place, row in enumerate(rows):
        mask = np.zeros((4, 5, 3), np.uint8)
        mask[place, 1, 2] = 1
        row["mask"] = f"m{place}.nii"
        write_nifti(tmp_path / "scans" / row["mask"], mask)
    write_table(tmp_path / "labels.csv", rows)
    found = load(tmp_path, cohort(MASKS, orientation="LAS"))
    assert [tuple(np.argwhere(mask)[0]) for mask in found.labels[:]] == [
        (3, 1, 2), (2, 1, 2), (1, 1, 2)
    ]  # fmt: skip
    write_nifti(tmp_path / "scans" / "m1.nii", np.full((4, 5, 3), 7, np.uint8))
    moved = RAS.copy()
    moved[0, 3] = 40
    write_nifti(tmp_path / "scans" / "m2.nii", np.zeros((4, 5, 3), np.uint8), moved)
    said = refused(tmp_path, cohort(MASKS))
    assert "column 'mask', line 4: it lies elsewhere than its image" in said
    write_nifti(tmp_path / "scans" / "m2.nii", np.zeros((4, 5, 2), np.uint8))
    assert "line 4: its size is not that of its image" in refused(tmp_path, cohort(MASKS))
    write_nifti(tmp_path / "scans" / "m2.nii", np.zeros((4, 5, 3), np.uint8))
    assert "line 3: 60 voxels outside the classes" in refused(tmp_path, cohort(MASKS))


def test_labels_of_every_form_are_read_as_in_a_table(tmp_path: Path) -> None:
    rows = write_scans(tmp_path, 3)
    for place, row in enumerate(rows):
        row |= {"days": 10 * place + 1, "died": "yes" if place else "no", "a": place % 2, "b": 1}
    write_table(tmp_path / "labels.csv", rows)
    survival = SurvivalLabel(
        column="days", event="died", occurred=("yes",), censored=("no",), range=(0, 100)
    )
    assert load(tmp_path, cohort(survival)).labels[:].tolist() == [-1, 11, 21]
    number = NumberLabel(column="days", range=(0, 100), centre=1, scale=10)
    assert load(tmp_path, cohort(number)).labels[:].tolist() == [0, 1, 2]
    finding = {"positive": (1,), "negative": (0,)}
    findings = FindingsLabel(findings={"a": finding, "b": finding})
    assert load(tmp_path, cohort(findings)).labels[:].tolist() == [[0, 1], [1, 1], [0, 1]]


def test_every_fault_is_told_with_the_tables_lines_and_without_a_name(tmp_path: Path) -> None:
    rows = write_scans(tmp_path, 9)
    rows[0]["image"] = "gone.nii"
    rows[1]["image"] = "../labels.csv"
    rows[2]["image"] = ""
    rows[3]["image"] = rows[4]["image"]
    (tmp_path / "scans" / "s5.nii.gz").write_bytes(b"\x1f\x8bnot a gzip")
    write_nifti(tmp_path / "scans" / "s6.nii.gz", volume(6, (9, 9, 9)))
    write_nifti(tmp_path / "scans" / "s7.nii.gz", volume(7, (4, 5, 3, 2)))
    (tmp_path / "scans" / "s8.nii.gz").write_bytes(b"PNG?")
    write_table(tmp_path / "labels.csv", rows)
    said = refused(tmp_path)
    for line, what in (
        (2, "the file is not there"),
        (3, "a path that does not begin in data.folder"),
        (4, "no image is named"),
        (6, "the same image as in a line before"),
        (7, "the file is damaged or cut short"),
        (8, "its size does not become the study's 4 x 5 x 3"),
        (9, "it holds several volumes"),
        (10, "it is no image that is read here"),
    ):
        assert f"site north: labels.csv: column 'image', line {line}: {what}" in said
    assert "s5" not in said and str(tmp_path) not in said and "gone" not in said


def test_a_study_that_splits_by_part_needs_the_column(tmp_path: Path) -> None:
    rows = write_scans(tmp_path)
    assert "name the table's column that holds each" in refused(tmp_path, keep=("part",))
    rows[0]["part"] = "spare"
    write_table(tmp_path / "labels.csv", rows)
    assert "column 'part', line 2: a part that the study does not name" in refused(
        tmp_path, part="part"
    )


def test_a_column_that_the_site_file_names_is_mended_there(tmp_path: Path) -> None:
    rows = write_scans(tmp_path)
    named = [{"file" if key == "image" else key: row[key] for key in row} for row in rows]
    write_table(tmp_path / "labels.csv", named)
    told = refused(tmp_path)
    assert "column 'image': missing in the file; write image: COLUMN under data in the site" in told
    told = refused(tmp_path, keep=("part",), image="file", part="teil")
    assert "column 'teil': missing in the file; write part: COLUMN under data in the site" in told


def test_a_frozen_cohort_of_images_names_its_table(tmp_path: Path) -> None:
    write_scans(tmp_path)
    found = described(folder_of(tmp_path))
    table = SourceDescription.of_file(tmp_path / "labels.csv")
    assert (found.kind, found.name, found.sha256) == ("images", "labels.csv", table.sha256)


def test_a_table_study_at_a_hospital_of_images_is_refused(tmp_path: Path) -> None:
    write_scans(tmp_path)
    with pytest.raises(CohortRefused, match="the study reads a table, and the site file names"):
        folder_of(tmp_path).table(None, site="north", keep=())  # type: ignore[arg-type]


def test_a_label_outside_the_vocabulary_is_told_by_its_line(tmp_path: Path) -> None:
    rows = write_scans(tmp_path)
    rows[3]["labels"] = "marked-value"
    write_table(tmp_path / "labels.csv", rows)
    said = refused(tmp_path)
    assert "column 'labels', line 5: a label outside the vocabulary" in said
    assert "marked-value" not in said


def test_spacing_outside_the_contract_is_refused(tmp_path: Path) -> None:
    write_scans(tmp_path)
    load(tmp_path, cohort(spacing=((1, 1), (1, 3), (3, 3))))
    said = refused(tmp_path, cohort(spacing=((1, 1), (1, 1.5), (3, 3))))
    assert "line 2 (and 5 more lines): its spacing is outside the study's image.spacing" in said


def test_pixels_outside_the_range_are_counted_over_the_whole_table(tmp_path: Path) -> None:
    write_scans(tmp_path)
    said = refused(tmp_path, cohort(range=(0, 10)))
    assert "line 2 (and 5 more lines): a pixel is outside the range [0, 10]" in said
