"""Files that a crash leaves whole, that their owner alone may read, and that end when read."""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file durably: after a crash it is the old one or the new one, never half of it.

    Raises:
        OSError: it cannot be written; then nothing is left behind.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):  # left behind, it would fill a full disk further at every try
            partial.unlink()
        raise


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
