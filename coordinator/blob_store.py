"""Blobs on disk, named by their digest: written in parts, resumed where a line was cut.

::

    blobs/<digest>                 whole and checked
    blobs/<site>/<digest>.part     what a site has sent so far

A blob becomes visible only when it is whole and its bytes have the digest in
its name. Names are digests and site names by form, so that no path can be
built from what a stranger sends.
"""

import os
from pathlib import Path

from blake3 import blake3

from protocol.encoding import blob_digest
from protocol.errors import MessageRefused, WorkspaceRefused

_READ = 1 << 20


class BlobStore:
    """One folder of blobs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceRefused(f"the blob folder cannot be made: {error.strerror}") from error

    def keep(self, data: bytes) -> str:
        """Keeps bytes under their digest, which is returned."""
        name = blob_digest(data)
        path = self._folder / name
        if not path.is_file():
            partial = self._folder / f"{name}.own"
            partial.write_bytes(data)
            partial.replace(path)
        return name

    def path(self, name: str) -> Path | None:
        """Returns where a whole blob lies, or None."""
        path = self._folder / name
        return path if path.is_file() else None

    def read(self, name: str) -> bytes:
        """Returns a whole blob.

        Raises:
            MessageRefused: it is not here.
        """
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise MessageRefused("a blob that was named has not arrived") from error

    def drop(self, name: str) -> None:
        """Removes a blob; one that is not there is gone already."""
        (self._folder / name).unlink(missing_ok=True)

    def received(self, site: str, name: str) -> int:
        """Returns how many bytes of a site's upload are here, whole or in part."""
        for path in (self._folder / name, self._part(site, name)):
            if path.is_file():
                return path.stat().st_size
        return 0

    def append(self, site: str, name: str, offset: int, data: bytes, size: int) -> int:
        """Adds a part of an upload; returns how many bytes are here now.

        Bytes that are here already are passed over, so a part may come twice.
        The part that makes a blob whole has it checked.

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
        if self.path(name) is not None:
            return self.received(site, name)
        here = self.received(site, name)
        if offset > here or offset + len(data) > size:
            raise MessageRefused(f"a part at {offset} does not follow the {here} bytes here")
        part = self._part(site, name)
        part.parent.mkdir(exist_ok=True)
        with part.open("ab") as file:
            file.write(data[here - offset :])
            here = file.tell()
            if here == size:
                file.flush()
                os.fsync(file.fileno())
        if here == size:
            self._finish(part, name)
        return here

    def _finish(self, part: Path, name: str) -> None:
        state = blake3()
        with part.open("rb") as file:
            while data := file.read(_READ):
                state.update(data)
        if state.hexdigest() != name:
            part.unlink()
            raise MessageRefused("the blob has another digest than its name: send it anew")
        part.replace(self._folder / name)

    def forget(self, site: str) -> None:
        """Removes a site's unfinished uploads."""
        for part in (self._folder / site).glob("*.part"):
            part.unlink(missing_ok=True)

    def _part(self, site: str, name: str) -> Path:
        return self._folder / site / f"{name}.part"
