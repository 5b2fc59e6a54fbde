"""Files that a crash leaves whole, and that their owner alone may read."""

import os
import secrets
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
