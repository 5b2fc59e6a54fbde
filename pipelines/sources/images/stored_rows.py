"""Rows of numbers in a file without a name, read as they are asked for.

Rules:

1. Rows that need more than ``IN_MEMORY_BYTES`` are written to a file in the folder for temporary
   files, which has no name there: no other user can open it (an administrator can, through the
   process that holds it), and the system frees it with the last process that holds it, however
   that ends (open(2), ``O_TMPFILE``).
2. They are read with ``pread``, never mapped: what was read once does not stay in the process.
3. What is read from the file is, bit for bit, what an array in memory would hold. As many reads
   are made for any row numbers.
"""

import errno
import itertools
import math
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Places, Rows
from pipelines.sources.faults import reason_of
from protocol.counted import counted
from protocol.errors import WorkspaceRefused

#: Fewer bytes of float32 than these stay in memory.
IN_MEMORY_BYTES = 32 << 20

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class StoredRows:
    r"""Rows of one form, in files or arrays; indexed like a float32 array of them.

    Args:
        sources: where rows stand, each with rows of the same form.
        which: (rows,) the source of each row.
        numbers: (rows,) its number there.

    A pickle of it holds numbers of open files, or names of ``named`` ones, and no row: it is read
    where those are open.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, sources: "Sequence[RowFile | Floats]", which: Ints, numbers: Ints) -> None:
        self._sources, self._which, self._numbers = tuple(sources), which, numbers
        self.shape: tuple[int, ...] = (len(numbers), *self._sources[0].shape[1:])
        self.ndim = len(self.shape)

    @classmethod
    def of(cls, sources: "Sequence[RowFile | Rows]") -> "StoredRows":
        """Returns all rows of several sources, one after the other."""
        flat: list[RowFile | Floats] = []
        which, numbers = [], []
        for source in sources:
            first = len(flat)
            if isinstance(source, StoredRows):
                flat.extend(source._sources)
                which.append(source._which + first)
                numbers.append(source._numbers)
                continue
            if not isinstance(source, RowFile | np.ndarray):
                raise TypeError(f"rows in a {type(source).__name__}")
            flat.append(source)
            which.append(np.full(len(source), first, dtype=np.int64))
            numbers.append(np.arange(len(source), dtype=np.int64))
        return cls(flat, np.concatenate(which), np.concatenate(numbers))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, places: Places) -> Floats:
        """Returns new numbers: of the form of ``places``, and behind it that of a row."""
        which, numbers = self._which[places], self._numbers[places]
        found = np.empty((numbers.size, *self.shape[1:]), dtype=np.float32)
        which, flat = which.reshape(-1), numbers.reshape(-1)
        if flat.size:
            breaks = np.arange(1, len(flat))  # a read for each: as many for any numbers
            if isinstance(places, slice):
                breaks = np.flatnonzero((np.diff(flat) != 1) | (np.diff(which) != 0)) + 1
            for begin, end in itertools.pairwise([0, *breaks.tolist(), len(flat)]):
                source, first = self._sources[which[begin]], int(flat[begin])
                if isinstance(source, RowFile):
                    source.read(first, found[begin:end])
                else:
                    found[begin:end] = source[first : first + end - begin]
        return found.reshape(*numbers.shape, *self.shape[1:])

    def select(self, places: Places) -> "StoredRows":
        """Returns some of the rows, without reading them."""
        return StoredRows(self._sources, self._which[places], self._numbers[places])

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The numbers of the open files that a process must inherit to read these rows."""
        return tuple(s.descriptor for s in self._sources if isinstance(s, RowFile))


class RowFile:
    """An open file of rows of one form, of a type of numbers; closed with the last reference.

    Args:
        descriptor: of the open file; it belongs to this object.
        shape: rows, and the form of each.
        dtype: as which numbers are stored.
        path: where another process of this user may open it, while it has a name.
    """

    def __init__(
        self,
        descriptor: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        path: str | None = None,
    ) -> None:
        self.descriptor, self.shape, self._dtype, self._path = descriptor, shape, dtype, path
        weakref.finalize(self, os.close, descriptor)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, first: int, into: Floats) -> None:
        """Reads as many rows as ``into`` has, from one on.

        Raises:
            OSError: the file cannot be read.
        """
        same = self._dtype == into.dtype
        stored = into if same else np.empty(into.shape, dtype=self._dtype)
        room = stored.reshape(-1).view(np.uint8).data
        offset = first * math.prod(self.shape[1:]) * self._dtype.itemsize
        while room:
            count = os.preadv(self.descriptor, [room], offset)
            if count == 0:
                raise OSError(
                    errno.EIO,
                    "the file of stored rows ends too early: check the disk of TMPDIR, start again",
                )
            room, offset = room[count:], offset + count
        if not same:
            into[...] = stored

    def __reduce__(self) -> tuple[Any, ...]:
        place = self._path or self.descriptor
        return _opened, (place, _identity(self.descriptor), self.shape, self._dtype.str)


def _identity(descriptor: int) -> tuple[int, ...]:
    """Returns what tells an open file apart from any that takes its number later."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _opened(
    place: str | int, known: tuple[int, ...], shape: tuple[int, ...], dtype: str
) -> RowFile:
    """Returns the file that another process, or this one, has open.

    Raises:
        OSError: it is not open here.
    """
    if isinstance(place, str):
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    else:
        descriptor = os.dup(place)
    if _identity(descriptor) != known:
        os.close(descriptor)
        raise OSError(
            errno.EBADF, "the file of stored rows is not open in this process: start again"
        )
    return RowFile(descriptor, shape, np.dtype(dtype))


class RowWriter:
    """Takes rows one after the other, in memory where they are few, else in a file.

    Args:
        count: how many rows will come.
        form: of each.
        dtype: as which numbers they are stored in a file; it holds each exactly.
        site: whose they are, for messages.

    Raises:
        WorkspaceRefused: there is no room for the file.
    """

    def __init__(
        self, count: int, form: tuple[int, ...], dtype: np.dtype[Any], *, site: str
    ) -> None:
        self._shape, self._dtype, self._site, self._written = (count, *form), dtype, site, 0
        self._array: Floats | None = None
        self._file: IO[bytes] | None = None
        if math.prod(self._shape) * np.dtype(np.float32).itemsize <= IN_MEMORY_BYTES:
            self._array = np.empty(self._shape, dtype=np.float32)
            return
        self._size = math.prod(self._shape) * dtype.itemsize
        with self._enough_room():
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (a process long)
            os.posix_fallocate(self._file.fileno(), 0, self._size)

    def write(self, rows: Floats) -> None:
        """Takes the next rows.

        Raises:
            WorkspaceRefused: the disk fails.
        """
        begin, self._written = self._written, self._written + len(rows)
        if self._array is not None:
            self._array[begin : self._written] = rows
        elif self._file is not None and rows.size:
            stored = np.ascontiguousarray(rows, dtype=self._dtype)
            left = stored.reshape(-1).view(np.uint8).data
            with self._enough_room():
                while left:
                    left = left[self._file.write(left) :]

    def rows(self) -> Floats | StoredRows:
        """Returns the rows that were written.

        Raises:
            ValueError: they are not as many as were announced.
        """
        if self._written != self._shape[0]:
            raise ValueError(f"{self._written} rows were written, {self._shape[0]} announced")
        if self._file is None:
            return self._array if self._array is not None else np.zeros(self._shape, np.float32)
        with self._enough_room():  # once more, to be read only
            own = f"/proc/self/fd/{self._file.fileno()}"
            descriptor = os.open(own, os.O_RDONLY | os.O_CLOEXEC)
        return StoredRows.of([RowFile(descriptor, self._shape, self._dtype)])

    def close(self) -> None:
        """Lets go of the file; rows that were returned keep it."""
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _enough_room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.close()
            raise WorkspaceRefused(
                f"site {self._site}: {counted(self._shape[0], 'prepared image')} need "
                f"{self._size / 1e9:.3g} GB in {tempfile.gettempdir()}: {reason_of(error)}; "
                "free space there, or name a folder on a larger disk by TMPDIR"
            ) from error


@contextmanager
def named(*several: Rows) -> Iterator[tuple[Rows, ...]]:
    """Yields copies of stored rows that other processes of this user can open by a name.

    The names go with the block; who opened a file keeps it. Arrays are yielded as they are.

    Raises:
        WorkspaceRefused: there is no room for the copies.
    """
    if not any(isinstance(rows, StoredRows) for rows in several):
        yield several
        return
    found: list[Rows] = []
    with tempfile.TemporaryDirectory(prefix="collegium-rows-") as folder:
        for place, rows in enumerate(several):
            if not isinstance(rows, StoredRows):
                found.append(rows)
                continue
            path = os.path.join(folder, str(place))
            found.append(_copied(rows, path))
        yield tuple(found)


def _copied(rows: StoredRows, path: str) -> StoredRows:
    at_once = max(1, (1 << 21) // math.prod(rows.shape[1:]))
    try:
        with open(path, "xb", opener=_private) as file:
            for begin in range(0, len(rows), at_once):
                file.write(rows[begin : begin + at_once].data)
    except OSError as error:
        raise WorkspaceRefused(
            f"a copy of the images for this hospital's workers cannot be written to "
            f"{tempfile.gettempdir()}: {reason_of(error)}; free space there, name "
            "another folder by TMPDIR, or have one worker (resources.workers)"
        ) from error
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return StoredRows.of([RowFile(descriptor, rows.shape, rows.dtype, path)])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
