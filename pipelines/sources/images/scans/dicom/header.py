"""The header of a DICOM file: the elements that are read, and nothing else.

Rules:

1. What is not in ``_READ`` is passed over: names, dates, institutions, free text, private
   elements. Of an element that is read, only what ``DicomHeader`` holds is kept.
2. The patient's number, and the numbers of study, series and accession, are kept to compare and to
   find; no message, name or record holds them.
3. A file that is packed as a whole (deflated) is refused: its size is not known beforehand.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pipelines.sources.images.scans.quiet import quiet
from pipelines.sources.images.scans.scan import (
    DAMAGE,
    DAMAGED,
    MAX_FILE_BYTES,
    NoImage,
    ScanFault,
    require_size,
)

#: Ways of writing pixels that pack nothing.
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
#: What pydicom raises besides of damaged files.
DICOM_DAMAGE = (*DAMAGE, BytesLengthException, InvalidDicomError)

_OF_A_FRAME = [
    "FrameContentSequence", "PixelMeasuresSequence", "PlaneOrientationSequence",
    "PlanePositionSequence", "PixelValueTransformationSequence",
]  # fmt: skip
_READ = [
    "SOPClassUID", "Modality", "ImageType", "StudyInstanceUID", "SeriesInstanceUID",
    "AccessionNumber", "SeriesDescription", "PatientID", "InstanceNumber", "BurnedInAnnotation",
    "ConversionType", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns",
    "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "SegmentSequence",
    "SegmentationType", "WaveformSequence",
]  # fmt: skip
_IMPLICIT_START = (b"\x08\x00", b"\x02\x00")
#: Objects that hold numbers or drawings, not an image, by the beginning of their class.
_NO_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.481": "a treatment plan, its structures or its dose",
    "1.2.840.10008.5.1.4.1.1.9": "a waveform, as an ECG",
    "1.2.840.10008.5.1.4.1.1.88": "a structured report",
    "1.2.840.10008.5.1.4.1.1.11": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.104": "an encapsulated document",
    "1.2.840.10008.5.1.4.1.1.66": "a registration, surface or other object beside images",
}
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
#: Classes in whose pixels words are usual: ultrasound and secondary capture.
_WRITTEN_ON = ("1.2.840.10008.5.1.4.1.1.6.", "1.2.840.10008.5.1.4.1.1.3.",
               "1.2.840.10008.5.1.4.1.1.7")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One plane of a DICOM image.

    Attributes:
        position: mm of the first pixel's centre, in DICOM's axes (x to the left, y to the back).
        cosines: the directions of a row and of a column.
        spacing: mm between rows, and between columns.
        slope, intercept: of the values.
        segment: of a segmentation, the number of its segment.
    """

    position: tuple[float, ...] | None
    cosines: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    slope: float = 1.0
    intercept: float = 0.0
    segment: int = 0


@dataclass(frozen=True, kw_only=True)
class DicomHeader:
    """The elements of one DICOM file's header that are kept.

    Attributes:
        segments: of a segmentation, each segment's number with its label.
        thickness: mm from slice to slice where there is one slice, or of a slice.
    """

    path: Path
    sop_class: str
    modality: str
    study: str
    series: str
    accession: str
    description: str
    patient: str
    number: int
    rows: int
    columns: int
    samples: int
    photometric: str
    bits: tuple[int, int]
    signed: bool
    syntax: str
    frames: tuple[Frame, ...]
    thickness: float | None
    is_mosaic: bool
    burned_in: str | None
    segments: tuple[tuple[int, str], ...] = ()
    segmentation: str = ""

    @property
    def is_segmentation(self) -> bool:
        """Whether it is a DICOM SEG."""
        return self.sop_class in SEGMENTATIONS


def is_dicom(start: bytes) -> bool:
    """Whether a file begins as DICOM does: with the prefix, or with its first elements."""
    if start[128:132] == b"DICM":
        return True
    if start[:2] in _IMPLICIT_START:
        explicit = start[4:6].isalpha() and start[4:6].isupper()
        return explicit or int.from_bytes(start[4:8], "little") <= 256
    return start[:4] in (b"\x00\x08\x00\x05", b"\x00\x08\x00\x08", b"\x00\x08\x00\x16")


def read_dataset(path: Path, elements: Sequence[str], *, pixels: bool) -> Dataset:
    """Returns some elements of a file, with its transfer syntax.

    Raises:
        ScanFault: damaged, too long, or packed as a whole.
        OSError: it cannot be read.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ScanFault(
            f"the file is longer than {MAX_FILE_BYTES} bytes", "export its frames one by one"
        )
    with quiet(), disable_value_validation():
        try:
            meta = read_file_meta_info(path) if _has_prefix(path) else None
            syntax = str(meta.get("TransferSyntaxUID", "")) if meta else ""
            if syntax == DeflatedExplicitVRLittleEndian:
                raise ScanFault(
                    "the file is packed as a whole (deflated)",
                    "export it in Explicit VR Little Endian",
                )
            found = dcmread(
                path,
                force=True,
                stop_before_pixels=not pixels,
                specific_tags=[*elements, *(["PixelData"] if pixels else [])],
            )
            if not syntax:
                found.file_meta.TransferSyntaxUID = _written_as(found)
        except ScanFault:
            raise
        except DICOM_DAMAGE:
            raise DAMAGED from None
    return found


def _has_prefix(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _written_as(found: Dataset) -> UID:
    implicit, little = found.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def read_header(path: Path) -> DicomHeader:
    """Returns the header of a DICOM image or segmentation, of which no pixel was read.

    Raises:
        ScanFault: damaged, or no image.
        OSError: it cannot be read.
    """
    found = read_dataset(path, _READ, pixels=False)
    with quiet(), disable_value_validation():
        try:
            return _kept(path, found)
        except ScanFault:
            raise
        except DICOM_DAMAGE:
            raise DAMAGED from None


def _kept(path: Path, found: Dataset) -> DicomHeader:
    sop_class = _text(found, "SOPClassUID")
    if sop_class not in SEGMENTATIONS:
        for beginning, what in _NO_IMAGES.items():
            if sop_class == beginning or sop_class.startswith(f"{beginning}."):
                raise NoImage(f"it is {what}, not an image", _NAME_ANOTHER)
    if "Rows" not in found or "Columns" not in found:
        raise NoImage("it holds no image", _NAME_ANOTHER)
    rows, columns = int(found.Rows), int(found.Columns)
    count, samples = int(found.get("NumberOfFrames") or 1), int(found.get("SamplesPerPixel") or 1)
    allocated = int(found.get("BitsAllocated") or 0)
    stored = int(found.get("BitsStored") or allocated)
    if min(rows, columns, count, samples, allocated) < 1 or not 1 <= stored <= allocated:
        raise DAMAGED
    require_size(rows * columns * count * samples)
    syntax = UID(str(found.file_meta.TransferSyntaxUID))
    needed = math.ceil(rows * columns * count * samples * allocated / 8)
    if syntax in NATIVE and path.stat().st_size < needed:
        raise ScanFault(
            "the file is shorter than the pixels that its header declares", "export it again"
        )
    return DicomHeader(
        path=path,
        sop_class=sop_class,
        modality=_text(found, "Modality") or "unknown",
        study=_text(found, "StudyInstanceUID"),
        series=_text(found, "SeriesInstanceUID"),
        accession=_text(found, "AccessionNumber"),
        description=_text(found, "SeriesDescription"),
        patient=_text(found, "PatientID"),
        number=int(found.get("InstanceNumber") or 0),
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=_text(found, "PhotometricInterpretation"),
        bits=(allocated, stored),
        signed=int(found.get("PixelRepresentation") or 0) == 1,
        syntax=str(syntax),
        frames=_frames(found, count),
        thickness=_number(found, "SpacingBetweenSlices") or _number(found, "SliceThickness"),
        is_mosaic="MOSAIC" in [str(word) for word in _several(found, "ImageType")],
        burned_in=_burned_in(found, sop_class),
        segments=tuple(
            (int(each.SegmentNumber), _text(each, "SegmentLabel"))
            for each in found.get("SegmentSequence") or ()
        ),
        segmentation=_text(found, "SegmentationType"),
    )


_NAME_ANOTHER = "name another file in the table"


def _frames(found: Dataset, count: int) -> tuple[Frame, ...]:
    """Returns every plane: of an enhanced image by its functional groups."""
    own = list(found.get("PerFrameFunctionalGroupsSequence") or ())
    if not own:
        one = _frame([found])
        return (one,) * count
    shared = list(found.get("SharedFunctionalGroupsSequence") or ())
    if len(own) != count:
        raise ScanFault("its header describes another number of frames than it holds", _AGAIN)
    return tuple(_frame([each, *shared]) for each in own)


_AGAIN = "export the image again"


def _frame(groups: Sequence[Dataset]) -> Frame:
    """Returns one plane from what describes it, its own first."""

    def floats(name: str, sequence: str, length: int) -> tuple[float, ...] | None:
        for group in groups:
            inner = group.get(sequence)
            values = _several(inner[0] if inner else group, name)
            if values:
                numbers = tuple(float(value) for value in values)
                if len(numbers) != length or not all(map(math.isfinite, numbers)):
                    raise DAMAGED
                return numbers
        return None

    spacing = floats("PixelSpacing", "PixelMeasuresSequence", 2)
    if spacing is not None and min(spacing) <= 0:
        raise ScanFault("its header states a distance of pixels that is not above 0", _AGAIN)
    values = "PixelValueTransformationSequence"
    (slope,) = floats("RescaleSlope", values, 1) or (1.0,)
    (intercept,) = floats("RescaleIntercept", values, 1) or (0.0,)
    segment = 0
    for group in groups:
        inner = group.get("SegmentIdentificationSequence")
        if inner:
            segment = int(inner[0].ReferencedSegmentNumber)
    return Frame(
        position=floats("ImagePositionPatient", "PlanePositionSequence", 3),
        cosines=floats("ImageOrientationPatient", "PlaneOrientationSequence", 6),
        spacing=spacing,
        slope=slope,
        intercept=intercept,
        segment=segment,
    )


def _burned_in(found: Dataset, sop_class: str) -> str | None:
    """Returns why words, such as a name, may stand in the pixels."""
    stated = _text(found, "BurnedInAnnotation").upper()
    if stated == "YES":
        return "the header says that words stand in its pixels (Burned In Annotation)"
    if stated != "NO" and (sop_class + ".").startswith(_WRITTEN_ON):
        return "ultrasound and captures of a screen often have a name in their pixels"
    return None


def _text(found: Dataset, name: str) -> str:
    value = found.get(name)
    return "" if value is None else str(value).strip().strip("\x00")


def _several(found: Dataset, name: str) -> list[Any]:
    value = found.get(name)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | float | int) else list(value)


def _number(found: Dataset, name: str) -> float | None:
    values = _several(found, name)
    return abs(float(values[0])) if values and math.isfinite(float(values[0])) else None
