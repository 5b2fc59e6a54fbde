"""NIfTI-1 and NIfTI-2 in one file, ``.nii`` or ``.nii.gz``, read by nibabel's header.

Extensions of the header, which may hold a whole DICOM header, are passed over and never kept.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from pipelines.sources.images.scans.geometry import Turn, orientation_of
from pipelines.sources.images.scans.quiet import quiet
from pipelines.sources.images.scans.scan import (
    DAMAGE,
    DAMAGED,
    Scan,
    ScanFault,
    VoxelGrid,
    require_size,
)
from protocol.study.cohort.cohort import Image

_HEADERS: dict[int, Any] = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_GZIP = b"\x1f\x8b"
#: Pixels do not begin later: a header with its extensions.
_LATEST_BEGIN = 1 << 30
_PIECE = 1 << 20
_REMEDY = "export the image again as one file .nii or .nii.gz"


def is_nifti(start: bytes) -> bool:
    """Whether a file begins as NIfTI does, or Analyze before it."""
    return start[:4] in {size.to_bytes(4, order) for size in _HEADERS for order in _ORDERS}


_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def open_nifti(path: Path, expected: Image) -> Scan:
    """Returns a NIfTI file's image.

    Raises:
        ScanFault: damaged, larger than it says, of a type of numbers that is no image, of four
            axes where the study names no volume.
        OSError: the file cannot be read.
    """
    with _opened(path) as file, quiet():
        header = _header(file)
        shape, volume = _volume(header.get_data_shape(), expected)
        require_size(math.prod(shape))
        try:
            begin, dtype = int(header.get_data_offset()), header.get_data_dtype()
            affine = header.get_best_affine()
            slope, intercept = header.get_slope_inter()
        except (*DAMAGE, HeaderDataError):  # no such type of numbers, or no number of a scale
            raise DAMAGED from None
    if dtype.kind not in "iuf":
        raise ScanFault("its voxels are no single numbers (complex, or colours)", _REMEDY)
    if not 0 <= begin <= _LATEST_BEGIN or not np.isfinite(affine).all():
        raise DAMAGED
    grid = VoxelGrid(sides=shape, affine=np.asarray(affine, dtype=np.float64))
    turn = Turn(grid, expected)
    offset = begin + volume * math.prod(shape) * dtype.itemsize
    needed = offset + math.prod(shape) * dtype.itemsize
    if not _is_packed(path) and path.stat().st_size < needed:
        raise DAMAGED
    return Scan(
        kind="NIfTI",
        sides=turn.sides,
        spacing=turn.spacing,
        orientation=orientation_of(grid.affine),
        affine=turn.affine,
        native=grid,
        pixels=partial(_read, path, offset, shape, dtype, slope, intercept, turn),
    )


def _header(file: _Stream) -> Any:
    start = file.read(4)
    size = next((s for s in _HEADERS for order in _ORDERS if s.to_bytes(4, order) == start), None)
    if size is None:
        raise ScanFault("it is no NIfTI file", _REMEDY)
    try:
        header = _HEADERS[size](start + _exactly(file, size - 4), check=False)
        magic = bytes(header["magic"])
    except DAMAGE:
        raise DAMAGED from None
    if not magic.startswith(b"n+"):
        raise ScanFault("it is the header of a pair of files, or Analyze", _REMEDY)
    return header


def _volume(shape: tuple[int, ...], expected: Image) -> tuple[tuple[int, int, int], int]:
    """Returns the sides of one volume, and its number among those of the file."""
    if not 2 <= len(shape) <= 7 or min(shape) < 1:
        raise ScanFault("its header declares no image of two or three axes", _REMEDY)
    i, j, k = (*shape[:3], 1)[:3]
    volumes = math.prod(shape[3:])
    if volumes == 1:
        return (i, j, k), 0
    if expected.volume is None:
        raise ScanFault(
            "it holds several volumes (a fourth axis, as of time)",
            "name a file with one in the table, or ask for a study with image.volume",
        )
    if expected.volume >= volumes:
        raise ScanFault(
            "it holds fewer volumes than the study's image.volume needs",
            "name another file in the table",
        )
    return (i, j, k), expected.volume


def _read(
    path: Path,
    offset: int,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    slope: float | None,
    intercept: float | None,
    turn: Turn,
) -> NDArray[Any]:
    with _opened(path) as file:
        while offset:
            step = len(_exactly(file, min(offset, _PIECE)))
            offset -= step
        data = _exactly(file, math.prod(shape) * dtype.itemsize)
    voxels: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape, order="F")
    if (slope, intercept) not in ((None, None), (1.0, 0.0)):
        voxels = voxels * np.float64(1.0 if slope is None else slope) + (intercept or 0.0)
    return turn(voxels.astype(voxels.dtype.newbyteorder("="), copy=False))


def _exactly(file: _Stream, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise DAMAGED
    return data


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP


@contextmanager
def _opened(path: Path) -> Iterator[_Stream]:
    """Yields the file, unpacked as it is read.

    Raises:
        ScanFault: what it is packed in is damaged.
    """
    try:
        if _is_packed(path):
            with gzip.open(path, "rb") as file:
                yield file
        else:
            with path.open("rb") as plain:
                yield plain
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise DAMAGED from None
