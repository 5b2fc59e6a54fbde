"""Blobs on disk, named by their digest: written in parts, resumed where a line was cut.

::

    blobs/<digest>                 what the coordinator offers
    blobs/<site>/<digest>.part     what a site has sent so far
    blobs/<site>/<digest>          what a site has sent, whole and checked

Rules:

1. A blob becomes visible only when it is whole and its bytes have the digest
   in its name. Names are digests and site names by form, so that no path can
   be built from what an unknown sender chooses.
2. Nobody can name or touch what another site has sent.
3. A site has four blobs here at most: the one that it began first goes.
"""

import os
import threading
from collections import Counter
from pathlib import Path

from blake3 import blake3

from compliance.storage.atomic_file import put_in_place, write_whole
from protocol.encoding import blob_digest
from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.transport.requests import BlobName

#: Blobs of one site that are here at once, whole or in part.
MAX_OF_ONE_SITE = 4
_READ = 1 << 20


class BlobStore:
    """One folder of blobs; what an earlier process offered is removed, and offered anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._kept: Counter[str] = Counter()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.iterdir():
                if path.is_file():
                    path.unlink()
        except OSError as error:
            raise WorkspaceRefused(f"the blob folder cannot be used: {error.strerror}") from error

    def keep(self, data: bytes) -> str:
        """Keeps bytes under their digest, which is returned, until they were dropped as often."""
        name = blob_digest(data)
        with self._lock:
            if not self._kept[name]:
                write_whole(self._folder / name, data, durable=False)  # offered anew by the next
            self._kept[name] += 1
        return name

    def drop(self, name: str) -> None:
        """Lets go of what was kept; the last one to do so removes it."""
        with self._lock:
            self._kept[name] -= 1
            if self._kept[name] <= 0:
                del self._kept[name]
                (self._folder / name).unlink(missing_ok=True)

    def offered(self, name: str) -> Path | None:
        """Returns where a blob that is kept lies, or None."""
        path = self._folder / name
        return path if path.is_file() else None

    def has(self, site: str, blob: BlobName) -> bool:
        """Whether a site has sent a blob, whole."""
        return _size(self._whole(site, blob.digest)) == blob.size

    def take(self, site: str, name: str) -> bytes:
        """Returns a whole blob that a site has sent, and removes it here.

        Raises:
            MessageRefused: it is not here.
        """
        path = self._whole(site, name)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MessageRefused("a blob that was named has not arrived") from error
        path.unlink(missing_ok=True)
        return data

    def received(self, site: str, name: str) -> int:
        """Returns how many bytes of a site's upload are here, whole or in part."""
        whole = _size(self._whole(site, name))
        return whole if whole is not None else _size(self._part(site, name)) or 0

    def append(self, site: str, name: str, offset: int, data: bytes, size: int) -> int:
        """Adds a part of an upload; returns how many bytes are here now.

        Bytes that are here already are passed over, so a part may come twice.
        The part that makes a blob whole has it checked. One part of a blob at
        a time: the caller sees to that.

        Args:
            site: who sends.
            name: the digest that the whole will have.
            offset: where this part begins.
            data: the part.
            size: how long the whole is.

        Raises:
            MessageRefused: the part leaves a gap or goes beyond the size, or the whole has
                another digest; it must then be sent anew.
        """
        here = self.received(site, name)
        if offset > here or offset + len(data) > size:
            raise MessageRefused(f"a part at {offset} does not follow the {here} bytes here")
        if self._whole(site, name).is_file():
            return here
        part = self._part(site, name)
        part.parent.mkdir(exist_ok=True)
        self._make_room(part)
        with part.open("ab") as file:
            file.write(data[here - offset :])
            here = file.tell()
            if here == size:
                file.flush()
                os.fsync(file.fileno())
        if here == size:
            self._finish(part, self._whole(site, name))
        return here

    def _finish(self, part: Path, whole: Path) -> None:
        state = blake3()
        with part.open("rb") as file:
            while data := file.read(_READ):
                state.update(data)
        if state.hexdigest() != whole.name:
            part.unlink()
            raise MessageRefused("the blob has another digest than its name: send it anew")
        put_in_place(part, whole)

    def _make_room(self, part: Path) -> None:
        """Removes a site's oldest blobs before another one is begun."""
        if part.exists():
            return
        found = sorted(part.parent.iterdir(), key=_changed)
        for path in found[: max(0, len(found) - MAX_OF_ONE_SITE + 1)]:
            path.unlink(missing_ok=True)

    def _whole(self, site: str, name: str) -> Path:
        return self._folder / site / name

    def _part(self, site: str, name: str) -> Path:
        return self._folder / site / f"{name}.part"


def _size(path: Path) -> int | None:
    """Returns how long a file is, or None; a round may take it away at any time."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
