"""NDJSON files in a folder, read line by line; one line is in memory at a time.

A file whose name begins with a type (``Patient.000.ndjson``, ``Observation-2.ndjson.gz``) holds
resources of that type alone; files of other names may hold any.
"""

import gzip
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from zlib import error as ZlibError

from pipelines.sources.clinical.tally import Place
from pipelines.sources.faults import reason_of, refused_file

Resource = dict[str, Any]

#: The types that are read; a file may be named after any of them, or another of FHIR's.
TYPES = (
    "Patient",
    "Encounter",
    "Condition",
    "Observation",
    "MedicationRequest",
    "Procedure",
    "ImagingStudy",
    "Consent",
)
_NAMED = re.compile(r"(?P<type>[A-Z][A-Za-z]+)([^A-Za-z].*)?\.(ndjson|jsonl)(\.gz)?")
_ENDINGS = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")
#: A longer line is no resource, whatever it unpacks from.
MAX_LINE = 1 << 26
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class ResourceFolder:
    """A folder of NDJSON files.

    Every method raises ``CohortRefused`` with file and line where a file cannot be read, or holds
    something else than resources of its type.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    def resources(self, kind: str) -> Iterator[tuple[Place, Resource]]:
        """Yields all resources of one type and their places, in the order of files and lines."""
        for path, named in self._files():
            if named in (kind, None):
                for line, resource in _objects(path):
                    found = resource.get("resourceType")
                    if found == kind:
                        yield Place(path.name, line), resource
                    elif named is not None or not isinstance(found, str):
                        raise refused_file(
                            path.name,
                            "broken-resource",
                            f"not a {kind}: a file that is named after a type of resources holds "
                            "no others",
                            "export it again, or move the line",
                            lines=[line],
                        )

    def types(self) -> Collection[str]:
        """Returns the types that files are named after; of files of other names, every type."""
        found = {named for _, named in self._files()}
        return TYPES if None in found else {named for named in found if named is not None}

    def _files(self) -> list[tuple[Path, str | None]]:
        try:
            paths = [p for p in self.folder.iterdir() if p.name.lower().endswith(_ENDINGS)]
        except OSError as error:
            raise refused_file(
                "",
                "no-file",
                f"the folder of resources {self.name!r} cannot be read: {reason_of(error)}",
                "mend its name in the site file, from whose own folder it is taken, or who may "
                "read it",
            ) from error
        if not paths:
            raise refused_file(
                self.name,
                "no-file",
                "there is no file that ends in .ndjson or .ndjson.gz",
                "name the folder of a bulk export",
            )
        named = [(path, _NAMED.fullmatch(path.name)) for path in sorted(paths)]
        return [(path, match["type"] if match else None) for path, match in named]


def _objects(path: Path) -> Iterator[tuple[int, Resource]]:
    """Yields each line that is not blank: its number, from 1, and its object."""
    line = 0
    try:
        with _opened(path) as data:
            for line, written in enumerate(iter(lambda: data.readline(MAX_LINE + 1), b""), start=1):
                if len(written) > MAX_LINE:
                    raise refused_file(
                        path.name,
                        "broken-resource",
                        f"longer than {MAX_LINE} bytes",
                        "each resource stands on a line of its own, and documents within them are "
                        "left out",
                        lines=[line],
                    )
                if not written.strip():
                    continue
                found = json.loads(written)
                if not isinstance(found, dict):
                    raise refused_file(
                        path.name,
                        "broken-resource",
                        "not a JSON object",
                        "export it again",
                        lines=[line],
                    )
                yield line, found
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, of a number without end
        raise refused_file(
            path.name,
            "broken-resource",
            "not one whole JSON object",
            "was the file cut off, or is an object written over several lines? Export it again",
            lines=[line],
        ) from error
    except (EOFError, ZlibError, gzip.BadGzipFile) as error:
        raise refused_file(
            path.name,
            "damaged-file",
            "the compressed file is damaged or cut off",
            "export it again",
            lines=[line + 1],
        ) from error
    except OSError as error:
        raise refused_file(
            path.name, "no-file", f"cannot be read: {reason_of(error)}", "mend who may read it"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a file, compressed or not: by its first bytes, for some servers leave out ``.gz``."""
    with path.open("rb") as data:
        is_gzip = data.read(2) == _GZIP
        data.seek(0)
        if is_gzip:
            with gzip.open(data, "rb") as plain:
                yield plain  # type: ignore[misc]
        else:
            yield data
