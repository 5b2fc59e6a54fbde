"""Folders for temporary files that only this user may enter; a start removes abandoned ones."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from protocol.errors import WorkspaceRefused

_PREFIX = "collegium-ray-"
_LOCK = "lock"
#: What the kernel takes as a socket's path, and the longest that Ray puts below its folder.
_MAX_PATH_BYTES = 107
_LONGEST_SOCKET = "/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yields a new folder that only this user may enter; removes what killed processes left."""
    parent = _parent()
    _remove_abandoned(parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as name:
        folder = Path(name)
        with (folder / "unlocked").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            (folder / "unlocked").rename(folder / _LOCK)  # never seen before it is held
            yield folder


def _parent() -> Path:
    """Returns the folder for temporary files, or a shorter one where a socket's path would not fit.

    Raises:
        WorkspaceRefused: none is short enough.
    """
    for place in _places():
        longest = f"{place}/{_PREFIX}12345678{_LONGEST_SOCKET}"
        if place and len(os.fsencode(longest)) <= _MAX_PATH_BYTES and _is_safe(Path(place)):
            return Path(place)
    raise WorkspaceRefused(
        f"no folder for Ray's sockets: {_places()[0]} has too long a path, cannot be written, or "
        "lets others rename what lies in it. Set TMPDIR to a short folder of your own"
    )


def _places() -> tuple[str, ...]:
    """Returns the folders for temporary files that may be used, the best first."""
    return tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp"  # noqa: S108


def _is_safe(folder: Path) -> bool:
    """Whether we may write to a folder, and nobody but root may rename our files in it."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    found = folder.stat()
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    return not shared and found.st_uid in (0, os.geteuid())


def remove_abandoned() -> int:
    """Removes the folders of this user whose process was killed before it could do so itself.

    Returns:
        How many there were.
    """
    places = {Path(place).resolve() for place in _places() if place}
    return sum(_remove_abandoned(place) for place in sorted(places))


def _remove_abandoned(parent: Path) -> int:
    removed = 0
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with (folder / _LOCK).open("r") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed
