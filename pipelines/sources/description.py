"""Descriptions of sources: what records were read from, for the hospital's own records."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pipelines.sources.faults import reason_of
from protocol.encoding import digest, digest_json
from protocol.errors import CohortRefused

_PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class SourceDescription:
    """A description of what records were read from: the kind of source, its name, a digest.

    ``sha256`` is of a file's bytes, or of the text of a query; empty where a source says none. No
    address and no account is named.
    """

    kind: str
    name: str
    sha256: str

    @classmethod
    def of_file(cls, path: Path) -> "SourceDescription":
        """Returns the description of a file of records.

        Raises:
            CohortRefused: it cannot be read.
        """
        state = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    state.update(piece)
        except OSError as error:
            raise CohortRefused(
                f"the file of records {path.name!r} cannot be read: "
                f"{reason_of(error)}; mend its path or its permissions"
            ) from error
        return cls(kind="file", name=path.name, sha256=state.hexdigest())

    @classmethod
    def of_folder(cls, kind: str, folder: Path) -> "SourceDescription":
        """Returns the description of a folder of files, by their names and bytes, in their order.

        Raises:
            CohortRefused: one of them cannot be read.
        """
        try:
            paths = sorted(path for path in folder.iterdir() if path.is_file())
        except OSError as error:
            raise CohortRefused(
                f"the folder of records {folder.name!r} cannot be read: "
                f"{reason_of(error)}; mend its path or its permissions"
            ) from error
        files = {path.name: cls.of_file(path).sha256 for path in paths}
        return cls(kind=kind, name=folder.name, sha256=digest_json(files))

    @classmethod
    def of_text(cls, kind: str, name: str, text: str) -> "SourceDescription":
        """Returns the description of a source that is read by a text, such as a query."""
        return cls(kind=kind, name=name, sha256=digest(text.encode()))


@runtime_checkable
class DescribedSource(Protocol):
    """A source that says what it reads."""

    def describe(self) -> SourceDescription:
        """Returns the description; a file or a query is read for its digest.

        Raises:
            CohortRefused: it cannot be read.
        """


def described(source: object) -> SourceDescription:
    """Returns a source's description; of one that says nothing only what kind it is."""
    if isinstance(source, DescribedSource):
        return source.describe()
    return SourceDescription(kind=type(source).__name__, name="", sha256="")
