"""A source: the place of one hospital's records, named by the hospital and never by a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pipelines.records import Records
from pipelines.sources.description import SourceDescription
from pipelines.sources.faults import refused, unreadable
from pipelines.sources.images.npz_images import load_images
from pipelines.sources.tables.bundled import read_bundled
from pipelines.sources.tables.delimited.csv_file import read_csv
from pipelines.sources.tables.dialect import AS_DECLARED, FileDialect
from pipelines.sources.tables.excel.workbook import read_excel
from pipelines.sources.tables.file_kinds import UTF_16, kind_of_file
from pipelines.sources.tables.parquet_file import read_parquet
from pipelines.sources.tables.sql.address import DatabaseAddress
from pipelines.sources.tables.sql.reading import QueryLimits, read_sql
from pipelines.sources.tables.table import SourceTable
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import ImageCohort, TableCohort
from protocol.study.study import BUNDLED


class Source(Protocol):
    """Reads one hospital's records by a study's contract.

    Every method raises ``CohortRefused`` where the source cannot be read, holds records of another
    kind, or does not fit the contract.
    """

    def table(self, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
        """Returns the cells of the columns that a table's contract and ``keep`` name."""

    def images(self, cohort: ImageCohort, *, site: str, keep: Sequence[str]) -> Records:
        """Returns the records of a contract of images, with the columns that ``keep`` names."""


@dataclass(frozen=True, kw_only=True)
class RecordFile:
    """Records in a file: a table in CSV, Excel or Parquet, by its bytes; or images in an npz.

    ``dialect`` says how the table is written where it is not as the contract says; ``units``, by
    column, in which unit its numbers are, and ``dates`` in which format its dates.
    """

    path: Path
    dialect: FileDialect = AS_DECLARED
    units: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, str] = field(default_factory=dict)

    def table(self, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
        """Returns the table in the file, see ``Source``."""
        table = self._read(cohort, site, keep)
        return replace(table, units=self.units, dates=self.dates)

    def _read(self, cohort: TableCohort, site: str, keep: Sequence[str]) -> SourceTable:
        try:
            kind = kind_of_file(self.path)
        except OSError as error:
            raise unreadable(site, self.path, error) from error
        if kind is None or (kind.name == UTF_16 and self.dialect.encoding == "utf-16"):
            return read_csv(self.path, cohort, site=site, keep=keep, dialect=self.dialect)
        if kind.read_as == "excel":
            return read_excel(self.path, cohort, site=site, keep=keep, dialect=self.dialect)
        if kind.read_as == "parquet":
            return read_parquet(self.path, cohort, site=site, keep=keep)
        raise refused(
            site,
            kind.fault,
            f"the file of records {self.path.name!r} is {kind.name}, not CSV text",
            kind.remedy,
        )

    def images(self, cohort: ImageCohort, *, site: str, keep: Sequence[str]) -> Records:
        """Returns the images in the file, see ``Source``."""
        return load_images(self.path, cohort, site=site, keep=keep, units=self.units)

    def describe(self) -> SourceDescription:
        """Returns the file's name and digest, see ``DescribedSource``."""
        return SourceDescription.of_file(self.path)


@dataclass(frozen=True, kw_only=True)
class DatabaseQuery:
    """The rows that a query of the hospital's own gives, of a database.

    ``units`` and ``dates`` are those of a ``RecordFile``.
    """

    address: DatabaseAddress
    query: Path
    limits: QueryLimits
    units: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, str] = field(default_factory=dict)

    def table(self, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
        """Returns the query's rows, see ``Source``."""
        table = read_sql(self.address, self.query, self.limits, cohort, site=site, keep=keep)
        return replace(table, units=self.units, dates=self.dates)

    def images(self, cohort: ImageCohort, *, site: str, keep: Sequence[str]) -> Records:
        """Refuses: a query gives a table."""
        raise CohortRefused(
            f"site {site}: a database's query gives a table, and the study reads images: name "
            "a file of images under data"
        )

    def describe(self) -> SourceDescription:
        """Returns the query's name and the digest of its text, see ``DescribedSource``."""
        return replace(SourceDescription.of_file(self.query), kind="sql")


@dataclass(frozen=True)
class BundledRecords:
    """The records that come with the software, for simulations."""

    def table(self, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
        """Returns the bundled table, see ``Source``."""
        return read_bundled(cohort, site=site, keep=keep)

    def images(self, cohort: ImageCohort, *, site: str, keep: Sequence[str]) -> Records:
        """Refuses: there are no bundled images."""
        raise CohortRefused(f"site {site}: the bundled records are a table, not images")

    def describe(self) -> SourceDescription:
        """Returns that the records are those of the software, see ``DescribedSource``."""
        return SourceDescription.of_text("bundled", BUNDLED, BUNDLED)
