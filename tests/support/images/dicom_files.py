"""DICOM files: single images, series of slices, and segmentations by highdicom."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def dicom(pixels: NDArray[Any], **elements: Any) -> FileDataset:
    """Returns a CT image of 16 bits a pixel (or as ``elements`` say), as yet in no file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = elements.pop("syntax", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID = elements.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = elements.setdefault("SOPInstanceUID", generate_uid())
    found = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    colours = pixels.ndim == 3 and pixels.shape[-1] == 3
    bits = pixels.dtype.itemsize * 8
    known: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "PatientID": "",
        "PatientName": "",
        "StudyID": "",
        "PatientBirthDate": "",
        "PatientSex": "",
        "StudyDate": "",
        "StudyTime": "",
        "ReferringPhysicianName": "",
        "AccessionNumber": "",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "FrameOfReferenceUID": "1.2.3.9",
        "Rows": pixels.shape[-3] if colours else pixels.shape[-2],
        "Columns": pixels.shape[-2] if colours else pixels.shape[-1],
        "SamplesPerPixel": 3 if colours else 1,
        "PhotometricInterpretation": "RGB" if colours else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    if colours:
        known["PlanarConfiguration"] = 0
    if pixels.ndim == 3 and not colours:
        known["NumberOfFrames"] = len(pixels)
    for name, value in (known | elements).items():
        if value is not None:
            setattr(found, name, value)
    found.PixelData = np.ascontiguousarray(pixels).tobytes()
    if bits == 8 and len(found.PixelData) % 2:
        found.PixelData += b"\0"
    return found


def write_dicom(path: Path, pixels: NDArray[Any], **elements: Any) -> Path:
    """Writes an image, see ``dicom``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom(pixels, **elements).save_as(path, enforce_file_format=True)
    return path


def slice_elements(number: int, count: int, spacing: tuple[float, float, float]) -> dict[str, Any]:
    """Returns where slice ``number`` of an axial series lies: the last is nearest to the feet."""
    columns, rows, slices = spacing
    return {
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [10.0, 20.0, (count - 1 - number) * slices],
        "PixelSpacing": [rows, columns],
        "SliceThickness": slices,
        "InstanceNumber": number + 1,
    }


def write_series(
    folder: Path,
    volume: NDArray[Any],
    spacing: tuple[float, float, float] = (1.0, 2.0, 3.0),
    **elements: Any,
) -> Path:
    """Writes (slices, rows, columns) as a series from head to feet, under names that mix it up."""
    count = len(volume)
    for number, pixels in enumerate(volume):
        own = slice_elements(number, count, spacing) | elements
        write_dicom(folder / f"im{(number * 7) % count:03d}.dcm", pixels, **own)
    return folder


def as_ras(volume: NDArray[Any]) -> NDArray[Any]:
    """Returns what an axial series (slices from head to feet) is in the axes R, A, S."""
    return np.ascontiguousarray(volume.transpose(2, 1, 0)[::-1, ::-1, ::-1])


def segmentation(
    images: list[Dataset], masks: dict[str, NDArray[np.bool_]], **settings: Any
) -> Dataset:
    """Returns a DICOM SEG of some slices: each segment's label and its (slices, rows, columns)."""
    import highdicom
    from pydicom.sr.codedict import codes

    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(masks, start=1)
    ]
    kind = settings.pop("kind", "BINARY")
    return highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=np.stack(list(masks.values()), axis=-1).astype(np.uint8),
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
        **settings,
    )
