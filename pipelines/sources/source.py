"""A source: the place of one hospital's records, named by the hospital and never by a study."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.records import Records
from pipelines.sources.images.npz_images import load_images
from pipelines.sources.tables.bundled import read_bundled
from pipelines.sources.tables.csv_file import AS_DECLARED, CsvDialect, read_csv
from pipelines.sources.tables.table import SourceTable
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import ImageCohort, TableCohort


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
    """Records in a file: a table in CSV, or images in an npz."""

    path: Path
    dialect: CsvDialect = AS_DECLARED

    def table(self, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
        """Returns the table in the file, see ``Source``."""
        return read_csv(self.path, cohort, site=site, keep=keep, dialect=self.dialect)

    def images(self, cohort: ImageCohort, *, site: str, keep: Sequence[str]) -> Records:
        """Returns the images in the file, see ``Source``."""
        return load_images(self.path, cohort, site=site, keep=keep)


@dataclass(frozen=True)
class BundledRecords:
    """The records that come with the software, for simulations."""

    def table(self, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
        """Returns the bundled table, see ``Source``."""
        return read_bundled(cohort, site=site, keep=keep)

    def images(self, cohort: ImageCohort, *, site: str, keep: Sequence[str]) -> Records:
        """Refuses: there are no bundled images."""
        raise CohortRefused(f"site {site}: the bundled records are a table, not images")
