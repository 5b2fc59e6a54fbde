"""A scan: one image's form as its header states it, and the way to its pixels."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import CohortRefused

#: No image has more pixels or voxels: 512 x 512 x 2048 are as many.
MAX_VOXELS = 1 << 29
#: No file of an image is longer.
MAX_FILE_BYTES = 4 * 10**9
#: What damaged or hostile files make libraries raise, and nothing else does.
DAMAGE = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, ArithmeticError,
    NotImplementedError, RuntimeError, MemoryError, SyntaxError, struct.error, zlib.error,
)  # fmt: skip

Affine = NDArray[np.float64]


class ScanFault(CohortRefused):
    """One thing that is wrong with an image, of which its caller says whose it is.

    Args:
        what: the fault, without a value of a header.
        remedy: what to do about it.
        name: its name in the catalogue of faults.
    """

    def __init__(self, what: str, remedy: str, name: str = "unreadable-image") -> None:
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy, self.name = what, remedy, name


class NoImage(ScanFault):
    """A file that is as it should be, and holds something other than an image."""


DAMAGED = ScanFault("the file is damaged or cut short", "export the image again")


@dataclass(frozen=True, kw_only=True)
class VoxelGrid:
    """The place of voxels: ``affine`` maps (i, j, k) to mm, x to the right, y to the front, z up.

    Attributes:
        sides: (3,) how many voxels.
        affine: (4, 4); None where the header does not state it.
    """

    sides: tuple[int, int, int]
    affine: Affine | None


@dataclass(frozen=True, kw_only=True)
class Scan:
    """An image's form, of which no pixel was read.

    Attributes:
        kind: the file's, or a DICOM image's modality.
        sides: of the image as the study has its axes.
        spacing: mm along each of them; None where the header does not state it.
        orientation: the three letters of the voxels' axes as they are stored; None as above.
        affine: of the image as the study has its axes; None as above.
        native: the voxels as they are stored.
        patient: the number in DICOM's header, for comparison alone.
        study: its StudyInstanceUID, likewise.
        series: its SeriesInstanceUID, likewise.
        burned_in: why a person's name may stand in the pixels; None where nothing says so.
        pixels: reads the image.
    """

    kind: str
    sides: tuple[int, ...]
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    affine: Affine | None = None
    native: VoxelGrid | None = None
    patient: str | None = None
    study: str | None = None
    series: str | None = None
    burned_in: str | None = None
    pixels: Callable[[], NDArray[Any]]


def require_size(count: int) -> None:
    """Refuses an image of more voxels than any has.

    Raises:
        ScanFault: says how many are allowed.
    """
    if not 0 < count <= MAX_VOXELS:
        raise ScanFault(
            f"the header declares no voxel, or more than {MAX_VOXELS}",
            "export the image again, or cut it to the part that the study needs",
        )
