"""A folder of tables: one CSV or Parquet file for each table of the Common Data Model.

``person.csv``, ``PERSON.CSV``, ``measurement.csv.gz`` and ``measurement.parquet`` are all found;
so is a folder ``measurement/`` of Parquet files. CSV is separated by commas or tabs, in UTF-8.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from zlib import error as ZlibError

from pipelines.sources.clinical.omop.cdm import Row, same_id
from pipelines.sources.faults import reason_of, refused_file
from protocol.errors import CohortRefused

_ENDINGS = (".csv", ".csv.gz", ".parquet")
#: So many rows of a Parquet file are in memory at once.
_ROWS = 65_536
#: What reading a table raises; ValueError and OverflowError are Arrow's too, or Unicode's.
_UNREADABLE = (ValueError, OverflowError, csv.Error, EOFError, ZlibError, gzip.BadGzipFile)
#: Marks between cells that some programs write, and that are not read.
_OTHERS = (";", "|")


@dataclass(frozen=True)
class TableFolder:
    """The tables in a folder, see ``CdmTables``."""

    folder: Path
    _seen: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    def columns(self, table: str) -> frozenset[str] | None:
        """Returns a table's columns, or None where there is no such file."""
        path = self._path(table)
        return None if path is None else frozenset(self._header(path))

    def file(self, table: str) -> str:
        """Returns the name of a table's CSV file; nothing of Parquet, which has no lines."""
        path = self._path(table)
        return "" if path is None or _is_parquet(path) else path.name

    def rows(
        self, table: str, columns: Sequence[str], *, among: tuple[str, frozenset[int]] | None = None
    ) -> Iterator[Row]:
        """Yields rows of a table, see ``CdmTables``."""
        path = self._path(table)
        if path is None:
            raise CohortRefused(f"{self.name}: there is no table {table}")
        if among is None:
            yield from self._cells(path, columns)
            return
        wanted = frozenset(map(str, among[1]))
        read, unmapped = 0, 0
        for line, cells in self._cells(path, (among[0], *columns)):
            concept = same_id(cells[0])
            read += 1
            unmapped += concept in ("", "0")
            if concept in wanted:
                yield line, cells[1:]
        self._seen[table, among[0]] = read, unmapped

    def unmapped(self, table: str, concept: str) -> tuple[int, int]:
        """Returns how many rows a table has, and how many of them have concept 0 or none."""
        if (table, concept) not in self._seen:
            for _ in self.rows(table, (), among=(concept, frozenset())):
                pass
        return self._seen[table, concept]

    def _path(self, table: str) -> Path | None:
        try:
            found = sorted(path for path in self.folder.iterdir() if _is_of(path, table))
        except OSError as error:
            raise refused_file(
                "",
                "no-file",
                f"the folder of tables {self.name!r} cannot be read: {reason_of(error)}",
                "mend its name in the site file, from whose own folder it is taken, or who may "
                "read it",
            ) from error
        if len(found) > 1:
            raise CohortRefused(f"{self.name}: {len(found)} files for the table {table}: keep one")
        return found[0] if found else None

    def _header(self, path: Path) -> tuple[str, ...]:
        if _is_parquet(path):
            import pyarrow.dataset  # half a second of import: only where needed

            with _told(path):
                names = pyarrow.dataset.dataset(path, format="parquet").schema.names
                return tuple(name.lower() for name in names)
        with _told(path), _opened(path) as text:
            header = text.readline()
        other = max(_OTHERS, key=header.count)
        if header.count(other) > header.count(_delimiter(header)):
            raise refused_file(
                path.name,
                "semicolon" if other == ";" else "other-delimiter",
                f"the columns seem to be separated by {other!r}, expected ',' or a tab",
                "export the table with commas or tabs between its cells, and a point before the "
                "tenths",
                lines=[1],
            )
        return _names(header)

    def _cells(self, path: Path, columns: Sequence[str]) -> Iterator[Row]:
        return _parquet_rows(path, columns) if _is_parquet(path) else _csv_rows(path, columns)


def _is_of(path: Path, table: str) -> bool:
    name = path.name.lower()
    return name in {f"{table}{ending}" for ending in _ENDINGS} or (name == table and path.is_dir())


def _is_parquet(path: Path) -> bool:
    return path.is_dir() or path.name.lower().endswith(".parquet")


def _delimiter(header: str) -> str:
    return "\t" if "\t" in header and "," not in header else ","


def _names(header: str) -> tuple[str, ...]:
    written = next(csv.reader([header], delimiter=_delimiter(header)), [])
    return tuple(name.strip().lower() for name in written)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    if path.name.lower().endswith(".gz"):
        with gzip.open(path, "rb") as data:
            yield io.TextIOWrapper(data, encoding="utf-8-sig", newline="")
        return
    with path.open(encoding="utf-8-sig", newline="") as text:
        yield text


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Refuses what a file cannot be read for, without the words of what read it."""
    try:
        yield
    except _UNREADABLE as error:
        is_text = not isinstance(error, UnicodeError)
        name = "open-quote" if isinstance(error, csv.Error) else "damaged-file"
        raise refused_file(
            path.name,
            name if is_text else "other-encoding",
            f"cannot be read as a table ({type(error).__name__})",
            "export it again, as CSV in UTF-8 or as Parquet",
        ) from error
    except OSError as error:
        raise refused_file(
            path.name, "no-file", f"cannot be read: {reason_of(error)}", "mend who may read it"
        ) from error


def _csv_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    with _told(path), _opened(path) as text:
        header = text.readline()
        names = _names(header)
        places = [names.index(column) for column in columns]
        lines = csv.reader(text, delimiter=_delimiter(header))
        for cells in lines:
            line = lines.line_num + 1
            if len(cells) == len(names):
                yield line, tuple([cells[place] for place in places])
            elif cells:
                raise refused_file(
                    path.name,
                    "uneven-line",
                    f"{len(cells)} cells where {len(names)} were expected",
                    "export the table again",
                    lines=[line],
                )


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    import pyarrow.dataset

    with _told(path):
        data = pyarrow.dataset.dataset(path, format="parquet")
        spelled = {name.lower(): name for name in data.schema.names}
        wanted = [spelled[column] for column in columns]
        for batch in data.to_batches(columns=list(dict.fromkeys(wanted)), batch_size=_ROWS):
            found = [batch.column(name).to_pylist() for name in wanted]
            for cells in zip(*found, strict=True):
                yield 0, tuple("" if cell is None else str(cell) for cell in cells)
