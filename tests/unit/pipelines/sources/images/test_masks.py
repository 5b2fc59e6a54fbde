"""Masks in an npz: one for each image, of its size, of declared values."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.cohort.quality import ClassCounts
from pipelines.records import Records
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import Image, ImageCohort
from protocol.study.cohort.labels import MaskLabel

COHORT = ImageCohort(
    kind="images",
    patient_key="row",
    label=MaskLabel(mask="masks", classes={"none": (0,), "organ": (1, 3), "lesion": (2,)}),
    image=Image(shape=(4, 5), range=(0, 1), centre=0, scale=1),
    parts=("train",),
)


def load(folder: Path, masks: np.ndarray, count: int = 6) -> Records:
    arrays = {"train_images": np.zeros((count, 4, 5)), "train_masks": masks}
    np.savez(folder / "images.npz", **arrays)
    return load_cohort(COHORT, folder / "images.npz", site="north", keep=())


def test_values_become_the_numbers_of_their_classes(tmp_path: Path) -> None:
    masks = np.zeros((6, 4, 5), np.uint8)
    masks[0, 0, 0], masks[1, 1, 1], masks[2, 2, 2] = 1, 3, 2
    records = load(tmp_path, masks)
    assert records.labels.shape == (6, 4, 5) and records.labels.dtype == np.float32
    assert [records.labels[place, place, place] for place in range(3)] == [1, 1, 2]
    counts = ClassCounts.of(records, COHORT.label)
    assert counts.classes == {"none": 6, "organ": 2, "lesion": 1}
    assert counts.patients_ill is None


def test_records_with_other_masks_have_another_digest(tmp_path: Path) -> None:
    masks = np.zeros((6, 4, 5), np.int64)
    before = load(tmp_path, masks).digest
    masks[5, 3, 4] = 2
    assert load(tmp_path, masks).digest != before


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (np.zeros((6, 4, 4), int), r"shape \(6, 4, 4\), expected \(6, 4, 5\); save a mask of its"),
        (np.zeros((5, 4, 5), int), r"expected \(6, 4, 5\)"),
        (np.zeros((6, 4, 5)), "holds float64, expected whole numbers"),
        (
            np.eye(6, dtype=int)[:, :, None].repeat(5, 2)[:, :4] * 7,
            "entry 0: a value outside the classes; it must be one of 0, 1, 3, 2",
        ),
    ],
)
def test_masks_that_do_not_fit_are_refused(tmp_path: Path, masks: np.ndarray, said: str) -> None:
    with pytest.raises(CohortRefused, match=f"site north: .*{said}"):
        load(tmp_path, masks)


def test_an_archive_without_masks_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", train_images=np.zeros((6, 4, 5)))
    with pytest.raises(CohortRefused, match="train_masks"):
        load_cohort(COHORT, tmp_path / "images.npz", site="north", keep=())


def test_groups_of_no_records_are_empty(tmp_path: Path) -> None:
    none = load(tmp_path, np.zeros((6, 4, 5), np.uint8)).take(np.zeros(6, dtype=bool))
    assert ClassCounts.of(none, COHORT.label).classes == {"none": 0, "organ": 0, "lesion": 0}


HEADERS = {
    "no type": "{'descr': (), 'fortran_order': False, 'shape': (1,), }",
    "half a type": "{'descr': ('<f4',), 'fortran_order': False, 'shape': (1,), }",
    "unclosed": "{'descr': '<f4', 'shape': (1,\n",
    "keys of two kinds": "{1: 2, 'descr': '<f4', 'x': 3}",
    "deep": "{'descr': " + "-" * 6000 + "1}",
}


@pytest.mark.parametrize("name", HEADERS)
def test_damaged_headers_are_refused(tmp_path: Path, name: str) -> None:
    header = HEADERS[name].encode()
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(tmp_path / "images.npz", "w") as archive:
        archive.writestr("train_images.npy", member + bytes(64))
    with pytest.raises(CohortRefused, match="site north"):
        load_cohort(COHORT, tmp_path / "images.npz", site="north", keep=())
