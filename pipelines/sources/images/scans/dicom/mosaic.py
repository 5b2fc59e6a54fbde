"""Siemens mosaics: the slices of a volume side by side in one plane.

How many slices there are and which way they rise stands in two of the vendor's private elements
alone (the CSA headers). They are the only private elements that are read, by nibabel, and of them
the geometry.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword

from pipelines.sources.images.scans.dicom.header import DICOM_DAMAGE, DicomHeader
from pipelines.sources.images.scans.geometry import Turn, orientation_of
from pipelines.sources.images.scans.quiet import quiet
from pipelines.sources.images.scans.scan import DAMAGED, Scan, ScanFault, VoxelGrid, require_size
from protocol.study.cohort.cohort import Image

_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: The vendor's elements and their owner's name.
_CSA = (0x00290010, 0x00291010, 0x00291020)
_GEOMETRY = (
    "SOPClassUID", "ImageType", "Rows", "Columns", "PixelSpacing", "SpacingBetweenSlices",
    "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient",
)  # fmt: skip
_PIXELS = (
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
    "PixelData",
)  # fmt: skip


def open_mosaic(headers: Sequence[DicomHeader], expected: Image) -> Scan:
    """Returns the volume of one mosaic, or of the one of several that ``image.volume`` names.

    Raises:
        ScanFault: damaged, without the vendor's elements, or one of several that no one chose.
    """
    ordered = sorted(headers, key=lambda header: header.number)
    chosen = 0 if len(ordered) == 1 else expected.volume
    if chosen is None or chosen >= len(ordered):
        raise ScanFault(
            f"it holds {len(ordered)} volumes at the same places (a course of time, or copies)",
            "name one volume's file, or ask for a study with image.volume",
        )
    first = ordered[chosen]
    with quiet():
        try:
            mosaic = _wrapped(first.path, _GEOMETRY)
            rows, columns, slices = (int(side) for side in mosaic.image_shape)
            affine = np.asarray(mosaic.affine, dtype=np.float64)[:, [1, 0, 2, 3]]
        except DICOM_DAMAGE as error:
            raise DAMAGED from error
    across = math.isqrt(max(slices - 1, 0)) + 1
    if (across * rows, across * columns) != (first.rows, first.columns):
        raise ScanFault(
            f"it is a Siemens mosaic whose {slices} slices do not fill its plane",
            "export the series again, not scaled down",
        )
    require_size(rows * columns * slices)
    grid = VoxelGrid(sides=(columns, rows, slices), affine=_FROM_LPS @ affine)
    turn = Turn(grid, expected)
    return Scan(
        kind=first.modality,
        sides=turn.sides,
        spacing=turn.spacing,
        orientation=orientation_of(grid.affine),
        affine=turn.affine,
        native=grid,
        patient=first.patient,
        study=first.study,
        series=first.series,
        burned_in=first.burned_in,
        pixels=partial(_read, first.path, grid.sides, turn),
    )


def _read(path: Path, sides: tuple[int, int, int], turn: Turn) -> NDArray[np.float32]:
    with quiet():
        try:
            voxels = np.asarray(_wrapped(path, (*_GEOMETRY, *_PIXELS)).get_data(), np.float32)
        except DICOM_DAMAGE as error:
            raise DAMAGED from error
    if voxels.shape != (sides[1], sides[0], sides[2]):
        raise DAMAGED
    return turn(voxels.swapaxes(0, 1))


def _wrapped(path: Path, elements: Sequence[str]) -> Any:
    """Returns nibabel's view of a mosaic; within ``quiet``, for it warns of what else it reads."""
    from nibabel.nicom import dicomwrappers

    tags = [int(tag_for_keyword(name) or 0) for name in elements]
    whole = pydicom.dcmread(path, force=True, specific_tags=[*tags, *_CSA])
    wrapped = dicomwrappers.wrapper_from_data(whole)
    if not getattr(wrapped, "is_mosaic", False):
        raise ScanFault(
            "it is a Siemens mosaic, and does not say how it is tiled",
            "export it as Enhanced MR, or convert it to NIfTI (dcm2niix) and name that file",
        )
    return wrapped
