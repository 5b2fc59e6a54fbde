"""What really reached the coordinator: noted at its door, part by part, as no record of its own is.

One line for each part of an upload, in ``DIR/witness.jsonl``: site, blob, kind of
delivery that it answers, bytes.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coordinator.delivery.blob_store import BlobStore
from coordinator.delivery.deliveries import Mailbox

_FILE = "witness.jsonl"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A part of a blob that reached the coordinator."""

    site: str
    blob: str
    kind: str
    size: int


def install() -> Callable[[], None]:
    """Notes every upload in this process from now on; returns what ends that."""
    expects, append = Mailbox.expects_blob, BlobStore.append
    kinds: dict[str, str] = {}

    def expects_blob(self: Mailbox, site: str, size: int) -> bool:
        with self._changed:
            found = [w.delivery.kind for w in self._waiting.values() if w.site == site]
        kinds[site] = "masked" if "masked" in found else ",".join(sorted(set(found)))
        return expects(self, site, size)

    def noted(self: BlobStore, site: str, name: str, offset: int, data: bytes, size: int) -> int:
        line = json.dumps([site, name, kinds.get(site, "?"), len(data)]) + "\n"
        with (self._folder.parent / _FILE).open("a") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        return append(self, site, name, offset, data, size)

    Mailbox.expects_blob, BlobStore.append = expects_blob, noted  # type: ignore[method-assign]

    def end() -> None:
        Mailbox.expects_blob, BlobStore.append = expects, append  # type: ignore[method-assign]

    return end


@contextmanager
def watching() -> Iterator[None]:
    """Notes every upload until the block ends."""
    end = install()
    try:
        yield
    finally:
        end()


def seen(home: Path) -> list[Seen]:
    """Returns all that was noted beside a coordinator's folder of blobs.

    A blob that came again, when something else was waited for, is what it was at first.
    """
    path = home / _FILE
    if not path.exists():
        return []
    kinds: dict[tuple[str, str], str] = {}
    parts = []
    for site, blob, kind, size in map(json.loads, path.read_text().splitlines()):
        first = kinds.setdefault((site, blob), kind)
        parts.append(Seen(site=site, blob=blob, kind=first, size=size))
    return parts
