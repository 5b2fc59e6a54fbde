"""The one writer of files: whole after a crash, for their owner alone; and reading them whole."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from protocol.errors import WorkspaceRefused

#: Mode of a file that its owner alone may read, and of one that all may.
OWNER_ONLY, FOR_ALL = 0o600, 0o644


def write_whole(path: Path, data: bytes, *, mode: int = OWNER_ONLY, durable: bool = True) -> None:
    """Writes a file: its readers, and a crash, find the old one or the new one, never half of it.

    Args:
        path: the file, there or not.
        data: what it shall hold.
        mode: who may read it.
        durable: whether it must be on the disk when this returns; False for what is only told,
            and is told again.

    Raises:
        OSError: it cannot be written; then nothing is left behind.
    """
    with _beside(path, data, mode, durable=durable) as partial:
        put_in_place(partial, path, durable=durable)


def write_new(path: Path, data: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Writes a file that is not there yet, durably and whole; of two writers, the first wins.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written; then nothing is left behind.
    """
    with _beside(path, data, mode) as partial:
        put_new_in_place(partial, path)


def append_line(path: Path, line: bytes) -> None:
    """Adds a line to a file that is there, durably; one that a crash cut off before goes first.

    Its readers take what stands before the last line feed. One writer at a time.

    Raises:
        OSError: it cannot be written.
    """
    with os.fdopen(open_regular(path, os.O_RDWR), "rb+") as file:
        file.seek(file.read().rfind(b"\n") + 1)
        file.truncate()
        file.write(line)
        sync_file(file)


def write_named(to: Path, data: bytes, option: str = "--to") -> None:
    """Writes a file that a person named with an option, in its place: it may be a pipe or device.

    Raises:
        WorkspaceRefused: it cannot be written.
    """
    try:
        to.write_bytes(data)
    except OSError as error:
        raise WorkspaceRefused(f"{option} {to} cannot be written: {error.strerror}") from error


def read_named(path: Path, option: str, most: int) -> bytes:
    """Returns what a file holds that a person named with an option, ``most`` bytes at most.

    Raises:
        WorkspaceRefused: it cannot be read, or is larger than any of its kind.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise WorkspaceRefused(f"{option} {path} cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise WorkspaceRefused(f"{option} {path} is too large to be one")
    return data


@contextmanager
def _beside(path: Path, data: bytes, mode: int, *, durable: bool = True) -> Iterator[Path]:
    """Yields a file with this content beside its place; what is left of it is removed after."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                sync_file(file)
        yield partial
    finally:
        with suppress(OSError):  # left behind, it would fill a full disk further at every try
            partial.unlink()


def put_in_place(partial: Path, path: Path, *, durable: bool = True) -> None:
    """Moves a file that was written and synced beside its place into it.

    Raises:
        OSError: it cannot be moved.
    """
    partial.replace(path)
    if durable:
        sync_folder(path.parent)


def put_new_in_place(partial: Path, path: Path) -> None:
    """Puts a file that was written and synced beside its place there too, if nothing is there.

    Raises:
        FileExistsError: something is.
        OSError: it cannot be put there.
    """
    os.link(partial, path)
    sync_folder(path.parent)


def sync_file(file: BinaryIO) -> None:
    """Makes durable what was written to a file.

    Raises:
        OSError: it cannot.
    """
    file.flush()
    os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Removes a file durably; one that is not there is removed already.

    Raises:
        OSError: it cannot be removed.
    """
    with suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes durable which files a folder holds.

    Raises:
        OSError: it cannot.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_whole(path: Path) -> bytes:
    """Returns what a file holds; never waits, as for a pipe, and never reads without end.

    Raises:
        OSError: it is missing, cannot be read or is no regular file.
    """
    handle = open_regular(path)
    with os.fdopen(handle, "rb") as file:
        return file.read()


def open_regular(path: Path, mode: int = os.O_RDONLY) -> int:
    """Returns an open regular file; another kind is not waited for.

    Raises:
        OSError: it is missing, cannot be opened or is no regular file.
    """
    handle = os.open(path, mode | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return handle
