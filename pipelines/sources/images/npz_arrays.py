"""Arrays of an npz: checked by their headers, read whole or in pieces of rows.

Rules:

1. Nothing is unpickled, and no array is allocated before its declared size was checked: a small
   file that unpacks to a huge one is refused.
2. An array that is read in pieces needs no more memory for many rows than for few.
"""

import io
import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import CohortRefused

#: Makes the refusal of an array of a fault's name in the catalogue, what is wrong, and what to do.
RefusedArray: TypeAlias = Callable[[str, str, str], CohortRefused]

#: One array that is read whole.
MAX_WHOLE_BYTES = 8 * 10**9
#: What damaged archives and arrays raise, and nothing else does.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError, ValueError, TypeError,
    IndexError, EOFError, MemoryError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int


class NpzArrays:
    """The arrays of an open archive.

    Args:
        archive: of ``.npy`` members.
        refused: see ``RefusedArray``.

    Raises:
        CohortRefused: of any method: the array is missing, damaged or a single number.
    """

    def __init__(self, archive: zipfile.ZipFile, refused: RefusedArray) -> None:
        self._archive, self._refused = archive, refused
        listed = archive.namelist()
        self._names = {name.removesuffix(".npy") for name in listed if name.endswith(".npy")}

    def form(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Returns an array's shape and type, of which no number was read."""
        header = self._header(name)
        return header.shape, header.dtype

    def whole(self, name: str) -> NDArray[Any]:
        """Returns an array."""
        header = self._header(name)
        size = math.prod(header.shape) * header.dtype.itemsize
        if size > MAX_WHOLE_BYTES:
            raise self._refused(
                "damaged-array",
                f"array {name!r} has {size} bytes, the limit is {MAX_WHOLE_BYTES}",
                "save it row by row (numpy.ascontiguousarray), or in smaller parts",
            )
        try:
            with self._archive.open(f"{name}.npy") as member:
                array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        except _DAMAGE as error:
            raise self._damaged(name) from error
        return array

    def pieces(self, name: str, rows: int) -> Iterator[NDArray[Any]]:
        """Yields an array's rows, so many at once; an array saved column by column is read whole.

        Guarantee: the checksum of the whole was right, or the last piece is followed by a refusal.
        """
        header = self._header(name)
        if header.fortran and len(header.shape) > 1:
            whole = self.whole(name)
            for begin in range(0, header.shape[0], rows):
                yield whole[begin : begin + rows]
            return
        of_row = math.prod(header.shape[1:]) * header.dtype.itemsize
        with self._archive.open(f"{name}.npy") as member:
            self._read(member, header.length, name)
            for begin in range(0, header.shape[0], rows):
                count = min(rows, header.shape[0] - begin)
                data = self._read(member, count * of_row, name)
                yield np.frombuffer(data, header.dtype).reshape(count, *header.shape[1:])
            self._read(member, 0, name)

    def _read(self, member: IO[bytes], size: int, name: str) -> bytes:
        """Returns the next bytes; with ``size`` 0, sees that none is left."""
        try:
            data = member.read(size or 1)
        except _DAMAGE as error:
            raise self._damaged(name) from error
        if len(data) != size:
            raise self._damaged(name)
        return data

    def _header(self, name: str) -> _Header:
        if name not in self._names:
            raise self._refused(
                "missing-array",
                f"array {name!r} is missing",
                "export it, or mend its name: the file holds "
                f"{', '.join(sorted(self._names)[:12])}",
            )
        try:
            info = self._archive.getinfo(f"{name}.npy")
            with self._archive.open(info) as member:
                header = _checked_header(member, info.file_size)
        except _DAMAGE as error:
            raise self._damaged(name) from error
        if not header.shape:
            raise self._refused(
                "damaged-array",
                f"array {name!r} is a single number",
                "save one entry for each image",
            )
        return header

    def _damaged(self, name: str) -> CohortRefused:
        return self._refused("damaged-array", f"array {name!r} is damaged", "export the file again")


def _checked_header(member: IO[bytes], size: int) -> _Header:
    """Refuses an array whose header asks for more memory than its file has bytes."""
    start = io.BytesIO(member.read(1 << 16))
    version = np.lib.format.read_magic(start)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(start)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(start)
    else:
        raise ValueError("a version of the npy format for structured arrays")
    needed = dtype.itemsize
    for side in shape:
        needed *= side
    if dtype.hasobject or needed != size - start.tell():
        raise ValueError("the header does not fit the bytes that follow it")
    return _Header(shape, fortran, dtype, start.tell())
