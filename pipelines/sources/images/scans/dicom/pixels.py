"""The pixels of a DICOM file: values as the modality means them, one plane after the other.

Rules:

1. A value is ``slope * stored + intercept`` (PS3.3 C.11.1). MONOCHROME1, in which the least
   stored value is white, is turned over first: ``least + greatest - stored`` of the stored bits.
2. Bits above those stored (overlays of old) are cleared.
3. Colours are refused, or become grey, as the study says.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit, RLELossless

from pipelines.sources.images.scans.dicom.header import (
    DICOM_DAMAGE,
    NATIVE,
    DicomHeader,
    read_dataset,
)
from pipelines.sources.images.scans.quiet import quiet
from pipelines.sources.images.scans.scan import DAMAGED, ScanFault
from protocol.study.cohort.cohort import Image

_NEEDED = [
    "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "NumberOfFrames",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
]  # fmt: skip
#: JPEGs of which more than eight bits are not read: Pillow's.
_EIGHT_BITS = (JPEGBaseline8Bit, JPEGExtended12Bit)
_GREY = ("MONOCHROME1", "MONOCHROME2")
#: Weights of red, green and blue (ITU-R BT.601).
_WEIGHTS = np.array([0.299, 0.587, 0.114])


def require_decodable(header: DicomHeader, expected: Image) -> None:
    """Refuses pixels that cannot be read here, or that the study does not want.

    Raises:
        ScanFault: names the codec that is missing, or the colours.
    """
    syntax = UID(header.syntax)
    if syntax not in (*NATIVE, RLELossless):
        try:
            available = get_decoder(syntax).is_available
        except NotImplementedError:
            available = False
        if not available or (syntax in _EIGHT_BITS and header.bits[1] > 8):
            name = syntax.name if syntax.name != syntax else "an unknown codec"
            raise ScanFault(
                f"its pixels of {header.bits[1]} bits are packed by {name}, which is not read here",
                "export it in Explicit VR Little Endian or RLE",
            )
    if header.photometric not in _GREY and expected.colour == "refuse":
        raise ScanFault(
            "its pixels are colours, or numbers of a palette",
            "export it in shades of grey, or ask for a study with image.colour: grey",
        )
    if header.samples not in (1, 3):
        raise DAMAGED


def stored_planes(header: DicomHeader) -> NDArray[Any]:
    """Returns (frames, rows, columns) of stored values; with a last axis of 3 for colours.

    Raises:
        ScanFault: the pixels are damaged, or fewer than declared.
        OSError: the file cannot be read.
    """
    found = read_dataset(header.path, _NEEDED, pixels=True)
    with quiet(), disable_value_validation():
        try:
            if "PixelData" not in found:
                raise ScanFault("it holds no pixels", "name another file in the table")
            pixels = pixel_array(found)
            if header.photometric == "PALETTE COLOR":
                pixels = apply_color_lut(pixels, found)
                if pixels.dtype.itemsize > 1:
                    pixels = pixels >> 8
        except ScanFault:
            raise
        except DICOM_DAMAGE:
            raise DAMAGED from None
    colours = (3,) if pixels.ndim > 2 and pixels.shape[-1] == 3 and not _is_grey(header) else ()
    form = (len(header.frames), header.rows, header.columns, *colours)
    if pixels.size != np.prod(form):
        raise DAMAGED
    return pixels.reshape(form)


def _is_grey(header: DicomHeader) -> bool:
    return header.photometric in _GREY


def planes(header: DicomHeader) -> Iterator[NDArray[np.float64]]:
    """Yields each frame's values, rows by columns.

    Raises:
        ScanFault: as ``stored_planes``.
    """
    allocated, stored = header.bits
    for frame, plane in zip(header.frames, stored_planes(header), strict=True):
        if plane.ndim == 3:
            values = np.rint(plane @ _WEIGHTS)
        else:
            if stored < allocated and plane.dtype.kind in "iu":
                plane = _cleared(plane, stored, signed=header.signed)
            values = plane.astype(np.float64)
            if header.photometric == "MONOCHROME1":
                values = (-1 if header.signed else 2**stored - 1) - values
        yield values * frame.slope + frame.intercept


def _cleared(plane: NDArray[Any], stored: int, *, signed: bool) -> NDArray[Any]:
    """Returns values without the bits above the stored ones.

    >>> _cleared(np.array([0x1FFF, 0x0800], np.uint16), 12, signed=True).tolist()
    [-1, -2048]
    """
    low = plane.astype(np.int64) & ((1 << stored) - 1)
    return np.where(low >> (stored - 1) & 1, low - (1 << stored), low) if signed else low
