"""DICOM slices become a volume by their places, whatever their names, codecs and numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from pipelines.sources.images.scans.formats import open_scan
from pipelines.sources.images.scans.scan import Scan, ScanFault
from protocol.study.cohort.cohort import Image
from tests.support.images.dicom_files import (
    as_ras,
    dicom,
    slice_elements,
    write_dicom,
    write_series,
)

VOLUME = (np.arange(6 * 5 * 4).reshape(6, 5, 4) - 20).astype(np.int16)
PLANE = VOLUME[0]


def image(axes: int = 3, **keys: Any) -> Image:
    return Image(shape=(8,) * axes, range=(0, 1), centre=0, scale=1, **keys)


def opened(path: Path, axes: int = 3, **keys: Any) -> Scan:
    return open_scan(path, image(axes, **keys))


def refused(path: Path, axes: int = 3, **keys: Any) -> str:
    with pytest.raises(ScanFault) as told:
        opened(path, axes, **keys).pixels()
    return str(told.value)


def test_slices_are_sorted_by_their_place_and_turned(tmp_path: Path) -> None:
    scan = opened(write_series(tmp_path / "ct", VOLUME))
    assert (scan.sides, scan.spacing, scan.orientation, scan.kind) == (
        (4, 5, 6), (1.0, 2.0, 3.0), "LPS", "CT"
    )  # fmt: skip
    assert np.array_equal(scan.pixels(), as_ras(VOLUME))


def test_values_are_rescaled_slice_by_slice(tmp_path: Path) -> None:
    for number, pixels in enumerate(VOLUME):
        own = slice_elements(number, 6, (1, 1, 1)) | {
            "RescaleSlope": number + 1, "RescaleIntercept": -1000
        }  # fmt: skip
        write_dicom(tmp_path / "pt" / f"{number}", pixels, **own)
    slopes = np.arange(1, 7)[:, None, None]
    assert np.array_equal(opened(tmp_path / "pt").pixels(), as_ras(VOLUME * slopes - 1000.0))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless])
def test_every_way_of_writing_gives_the_same_pixels(tmp_path: Path, syntax: Any) -> None:
    one = dicom(PLANE)
    if syntax is RLELossless:
        one.compress(RLELossless)
    one.file_meta.TransferSyntaxUID = syntax
    one.save_as(tmp_path / "a", implicit_vr=syntax is ImplicitVRLittleEndian, little_endian=True)
    assert np.array_equal(opened(tmp_path / "a", 2).pixels(), PLANE)


def test_big_endian_is_read(tmp_path: Path) -> None:
    one = dicom(PLANE.astype(">i2"))
    one.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    one["PixelData"].VR = "OW"
    dcmwrite(tmp_path / "a", one, implicit_vr=False, little_endian=False, force_encoding=True)
    assert np.array_equal(opened(tmp_path / "a", 2).pixels(), PLANE)


@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_without_prefix_and_meta_is_read(tmp_path: Path, implicit: bool) -> None:
    one = dicom(PLANE)
    one.preamble = None
    del one.file_meta
    one.save_as(tmp_path / "a", implicit_vr=implicit, little_endian=True)
    assert np.array_equal(opened(tmp_path / "a", 2).pixels(), PLANE)


def test_monochrome1_is_turned_over_and_unused_bits_are_cleared(tmp_path: Path) -> None:
    twelve = {"BitsStored": 12, "HighBit": 11}
    marked = (PLANE + 20).astype(np.uint16) | 0xF000
    path = write_dicom(tmp_path / "a", marked, PhotometricInterpretation="MONOCHROME1", **twelve)
    assert np.array_equal(opened(path, 2).pixels(), 4095 - (PLANE + 20))
    path = write_dicom(tmp_path / "b", PLANE & 0x0FFF, PixelRepresentation=1, **twelve)
    assert np.array_equal(opened(path, 2).pixels(), PLANE)


def test_colours_are_refused_or_grey(tmp_path: Path) -> None:
    colours = np.zeros((2, 3, 3), np.uint8)
    colours[0, 0], colours[0, 1], colours[0, 2] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    path = write_dicom(tmp_path / "a", colours)
    assert "its pixels are colours" in refused(path, 2)
    assert opened(path, 2, colour="grey").pixels()[0].tolist() == [76, 150, 29]


def test_a_missing_slice_is_counted(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", VOLUME)
    (tmp_path / "ct" / "im003.dcm").unlink()
    assert "1 slice missing between the others" in refused(tmp_path / "ct")


def test_a_slice_that_is_there_twice_is_counted(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", VOLUME)
    (tmp_path / "ct" / "copy").write_bytes((tmp_path / "ct" / "im002.dcm").read_bytes())
    assert "1 place of 6 have more than one slice" in refused(tmp_path / "ct")


def test_volumes_at_the_same_places_are_told_apart_by_the_studys_volume(tmp_path: Path) -> None:
    for time in (0, 1):
        for number, pixels in enumerate(VOLUME + 100 * time):
            own = slice_elements(number, 6, (1, 2, 3)) | {"InstanceNumber": 6 * time + number}
            write_dicom(tmp_path / "mr" / f"{time}-{number}", pixels, **own)
    assert "2 volumes at the same places" in refused(tmp_path / "mr")
    assert np.array_equal(opened(tmp_path / "mr", volume=1).pixels(), as_ras(VOLUME + 100))
    assert "2 volumes at the same places" in refused(tmp_path / "mr", volume=2)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ImagePositionPatient": [10.0, 20.0, 16.3]}, "the distances of its slices are unequal"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "its slices lie in several directions"),
        ({"PixelSpacing": [2.0, 1.5]}, "its slices have several distances of pixels"),
        ({"PatientID": "MARKED"}, "its files are of several series, studies or patients"),
        ({"ImagePositionPatient": ["x", 0, 0]}, "damaged"),
        ({"PixelSpacing": [0, 1]}, "a distance of pixels that is not above 0"),
        ({"ImagePositionPatient": None}, "frames or slices whose places are not stated"),
    ],
)
def test_slices_that_are_no_volume_are_refused(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    write_series(tmp_path / "ct", VOLUME)
    one = slice_elements(0, 6, (1, 2, 3)) | changed
    path = tmp_path / "ct" / "im000.dcm"
    if changed.get("ImagePositionPatient") == ["x", 0, 0]:
        data = path.read_bytes()
        path.write_bytes(data.replace(b"10.0\\20.0\\15.0", b"1x.0\\20.0\\15.0"))
        assert data != path.read_bytes()
    else:
        write_dicom(path, VOLUME[0], **one)
    found = refused(tmp_path / "ct")
    assert said in found and "MARKED" not in found


def test_a_tilted_gantry_is_refused(tmp_path: Path) -> None:
    for number, pixels in enumerate(VOLUME):
        own = slice_elements(number, 6, (1, 2, 3))
        own["ImagePositionPatient"] = [10, 20 + number, 3 * number]
        write_dicom(tmp_path / "ct" / str(number), pixels, **own)
    assert "shifted sidewards (a tilted gantry)" in refused(tmp_path / "ct")


def test_a_series_is_chosen_by_the_studys_rule_alone(tmp_path: Path) -> None:
    write_series(tmp_path / "s", VOLUME[:2], SeriesInstanceUID="1.1", SeriesDescription="Localizer")
    for number, pixels in enumerate(VOLUME):
        own = slice_elements(number, 6, (1, 2, 3)) | {"SeriesDescription": "Chest, Soft Tissue"}
        write_dicom(tmp_path / "s" / f"b{number}", pixels, SeriesInstanceUID="1.2", **own)
    assert "2 series where one was expected" in refused(tmp_path / "s")
    assert opened(tmp_path / "s", series={"choose": "largest"}).sides == (4, 5, 6)
    assert opened(tmp_path / "s", series={"description": "soft tissue"}).sides == (4, 5, 6)
    assert opened(tmp_path / "s", series={"description": "locali"}).sides == (4, 5, 2)
    assert "none of 2 series is of the modality" in refused(
        tmp_path / "s", series={"modality": "MR"}
    )


def test_a_multi_frame_image_lies_as_its_frames_say(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    def group(**sequences: dict[str, Any]) -> Dataset:
        found = Dataset()
        for name, elements in sequences.items():
            inner = Dataset()
            for element, value in elements.items():
                setattr(inner, element, value)
            setattr(found, name, [inner])
        return found

    shared = group(
        PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        PixelMeasuresSequence={"PixelSpacing": [2.0, 1.0], "SliceThickness": 3.0},
        PixelValueTransformationSequence={"RescaleSlope": 2, "RescaleIntercept": 5},
    )
    frames = [
        group(PlanePositionSequence={"ImagePositionPatient": [0, 0, 3.0 * place]})
        for place in (5, 4, 3, 2, 1, 0)
    ]
    path = write_dicom(
        tmp_path / "a",
        VOLUME,
        SOPClassUID=EnhancedCTImageStorage,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )
    scan = opened(path)
    assert scan.sides == (4, 5, 6) and scan.spacing == (1.0, 2.0, 3.0)
    assert np.array_equal(scan.pixels(), as_ras(VOLUME * 2 + 5))


def test_a_film_needs_a_frame(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", VOLUME)
    assert "it holds 6 frames or slices whose places are not stated" in refused(path, 2)
    assert np.array_equal(opened(path, 2, volume=4).pixels(), VOLUME[4])


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"}, "its structures or its dose"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.9.1.1"}, "it is a waveform"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22"}, "it is a structured report"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "it is a segmentation"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "it is a Siemens mosaic"),
        ({"Rows": 60_000, "Columns": 60_000}, "declares no voxel, or more than"),
        ({"Rows": 5_000, "Columns": 5_000}, "shorter than the pixels that its header declares"),
        ({"Rows": 0}, "damaged"),
        ({"Rows": None}, "it holds no image"),
        ({"BitsStored": 40}, "damaged"),
    ],
)
def test_what_is_no_image_is_refused_before_a_pixel_is_read(
    tmp_path: Path, elements: dict[str, Any], said: str
) -> None:
    path = write_dicom(tmp_path / "a", PLANE, **elements)
    with pytest.raises(ScanFault, match=said):
        opened(path, 2)


def test_a_deflated_file_is_refused(tmp_path: Path) -> None:
    one = dicom(PLANE)
    one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    one.save_as(tmp_path / "a", implicit_vr=False, little_endian=True)
    assert "packed as a whole (deflated)" in refused(tmp_path / "a", 2)


def test_a_codec_that_is_not_here_is_named(tmp_path: Path) -> None:
    one = dicom(PLANE)
    one.save_as(tmp_path / "a", implicit_vr=False, little_endian=True)
    data = (tmp_path / "a").read_bytes()
    short = b"1.2.840.10008.1.2.1\x00"
    assert data.count(short) == 1
    (tmp_path / "a").write_bytes(data.replace(short, b"1.2.840.10008.1.2.99"))
    assert "packed by an unknown codec, which is not read here" in refused(tmp_path / "a", 2)


@pytest.mark.parametrize("kept", [0, 4, 140, 400, 700, -10])
def test_a_file_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    path = write_dicom(tmp_path / "a", PLANE)
    path.write_bytes(path.read_bytes()[:kept])
    assert refused(path, 2)
