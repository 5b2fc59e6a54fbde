"""A DICOM SEG is placed on its image's slices, and its segments become the study's classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from pipelines.sources.images.scans.formats import open_scan
from pipelines.sources.images.scans.masks import open_mask
from pipelines.sources.images.scans.scan import ScanFault
from protocol.study.cohort.cohort import Image
from protocol.study.cohort.labels import MaskLabel
from tests.support.images.dicom_files import as_ras, segmentation, write_series

IMAGE = Image(shape=(8, 8, 8), range=(0, 1), centre=0, scale=1)
LABEL = MaskLabel(
    mask="mask", classes={"none": ("background",), "liver": ("Liver",), "lesion": ("Lesion", 7)}
)
SIDES = (6, 8, 4)  # slices, rows, columns

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:highdicom")


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return write_series(tmp_path / "ct", np.zeros(SIDES, np.int16), RescaleType="HU")


def slices(series: Path) -> list[Dataset]:
    found = [dcmread(path) for path in series.iterdir()]
    return sorted(found, key=lambda one: int(one.InstanceNumber))


def marked(*places: tuple[int, int, int]) -> np.ndarray:
    found = np.zeros(SIDES, np.bool_)
    for place in places:
        found[place] = True
    return found


def read(series: Path, seg: Dataset, label: MaskLabel = LABEL, image: Image = IMAGE) -> Any:
    path = series.parent / "seg.dcm"
    seg.save_as(path)
    return open_mask(path, open_scan(series, image), image, label)()


def test_segments_become_classes_at_their_own_slices(series: Path) -> None:
    liver, lesion = marked((0, 1, 2), (5, 7, 3)), marked((2, 0, 0))
    found = read(series, segmentation(slices(series), {"Liver": liver, "Lesion": lesion}))
    assert np.array_equal(found, as_ras(liver.astype(np.float32) + 2 * lesion))


@pytest.mark.parametrize("empty", [True, False])
def test_frames_that_are_left_out_are_background(series: Path, empty: bool) -> None:
    liver = marked((3, 4, 1))
    seg = segmentation(slices(series), {"Liver": liver}, omit_empty_frames=empty)
    assert np.array_equal(read(series, seg), as_ras(liver.astype(np.float32)))


def test_a_mask_is_turned_as_its_image(series: Path) -> None:
    liver = marked((3, 4, 1))
    image = IMAGE.model_copy(update={"orientation": "LPS"})
    found = read(series, segmentation(slices(series), {"Liver": liver}), image=image)
    assert np.argwhere(found).tolist() == [[1, 4, 2]]


def test_a_label_map_is_read_as_segments_are(series: Path) -> None:
    liver, lesion = marked((0, 1, 2)), marked((2, 0, 0))
    seg = segmentation(slices(series), {"Liver": liver, "Lesion": lesion}, kind="LABELMAP")
    assert np.array_equal(read(series, seg), as_ras(liver.astype(np.float32) + 2 * lesion))


def test_segments_that_overlap_are_counted_and_refused(series: Path) -> None:
    seg = segmentation(
        slices(series),
        {"Liver": marked((0, 1, 2), (1, 1, 1)), "Lesion": marked((0, 1, 2))},
    )
    with pytest.raises(ScanFault, match="1 voxel of two classes"):
        read(series, seg)


def test_a_segment_without_a_class_is_refused_without_its_name(series: Path) -> None:
    seg = segmentation(slices(series), {"MARKED^NAME": marked((0, 0, 0))})
    with pytest.raises(ScanFault, match="1 segment that no class of the study names") as told:
        read(series, seg)
    assert "MARKED" not in str(told.value)
    by_number = MaskLabel(mask="mask", classes={"none": (0,), "liver": (1,)})
    assert read(series, seg, by_number).sum() == 1


def test_parts_of_a_whole_are_refused(series: Path) -> None:
    seg = segmentation(slices(series), {"Liver": marked((0, 0, 0))}, kind="FRACTIONAL")
    with pytest.raises(ScanFault, match="parts of a whole"):
        read(series, seg)


def test_another_size_or_place_is_refused(series: Path, tmp_path: Path) -> None:
    seg = segmentation(slices(series), {"Liver": marked((0, 0, 0))})
    wider = write_series(tmp_path / "wider", np.zeros((6, 8, 5), np.int16))
    with pytest.raises(ScanFault, match="its size is not that of its image"):
        read(wider, seg)
    fewer = write_series(tmp_path / "fewer", np.zeros((5, 8, 4), np.int16))
    with pytest.raises(ScanFault, match="a frame lies on none of its image's slices"):
        read(fewer, seg)
    closer = write_series(tmp_path / "closer", np.zeros(SIDES, np.int16), spacing=(1.0, 1.0, 3.0))
    with pytest.raises(ScanFault, match="in another direction than its image's slices"):
        read(closer, seg)


def test_an_image_is_no_mask_and_a_mask_no_image(series: Path) -> None:
    scan = open_scan(series, IMAGE)
    with pytest.raises(ScanFault, match="not a segmentation"):
        open_mask(next(series.iterdir()), scan, IMAGE, LABEL)
    segmentation(slices(series), {"Liver": marked((0, 0, 0))}).save_as(series.parent / "seg.dcm")
    with pytest.raises(ScanFault, match="it is a segmentation"):
        open_scan(series.parent / "seg.dcm", IMAGE)
