"""Sources of clinical records: what a hospital's site file names, and a table by the contract."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.records import Records
from pipelines.sources.clinical.fhir.ndjson import ResourceFolder
from pipelines.sources.clinical.fhir.reading import ExportFacts, read_fhir
from pipelines.sources.clinical.omop.cdm import CdmTables
from pipelines.sources.clinical.omop.reading import read_omop
from pipelines.sources.clinical.rows import table_of
from pipelines.sources.clinical.wanted import wanted_by
from pipelines.sources.description import SourceDescription
from pipelines.sources.faults import faults_of, refusal
from pipelines.sources.tables.table import SourceTable
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import ImageCohort, TableCohort


@dataclass(frozen=True, kw_only=True)
class OmopRecords:
    """Records in the tables of OMOP, which are opened when they are read, for a site.

    ``folder`` is where their files lie; None where they lie in a database.
    """

    tables: Callable[[str], CdmTables]
    folder: Path | None = None

    def describe(self) -> SourceDescription:
        """Returns what is read; of a database, which has no bytes to digest, its kind alone."""
        if self.folder is None:
            return SourceDescription(kind="omop", name="", sha256="")
        return SourceDescription.of_folder("omop", self.folder)

    def table(self, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
        """Returns the table that the contract makes of them, see ``Source``."""
        _require_meanings(cohort, site)
        with _of_site(site):
            tables = self.tables(site)
            records = read_omop(tables, wanted_by(cohort), site=site)
        return table_of(records, cohort, site=site, file=tables.name, keep=keep)

    def images(self, cohort: ImageCohort, *, site: str, keep: Sequence[str]) -> Records:
        """Refuses: these tables hold no images."""
        raise _no_images(site)


@dataclass(frozen=True, kw_only=True)
class FhirRecords:
    """Records in a folder of FHIR R4 resources."""

    folder: Path
    facts: ExportFacts = ExportFacts()

    def describe(self) -> SourceDescription:
        """Returns what is read."""
        return SourceDescription.of_folder("fhir", self.folder)

    def table(self, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
        """Returns the table that the contract makes of them, see ``Source``."""
        _require_meanings(cohort, site)
        folder = ResourceFolder(self.folder)
        with _of_site(site):
            records = read_fhir(folder, wanted_by(cohort), self.facts, site=site)
        return table_of(records, cohort, site=site, file=folder.name, keep=keep)

    def images(self, cohort: ImageCohort, *, site: str, keep: Sequence[str]) -> Records:
        """Refuses: these resources hold no images."""
        raise _no_images(site)


@contextmanager
def _of_site(site: str) -> Iterator[None]:
    """Puts the site before a refusal of files or tables, which do not know whose they are."""
    try:
        yield
    except CohortRefused as error:
        if str(error).startswith(f"site {site}: "):
            raise
        if faults := faults_of(error):
            raise refusal(site, "", faults) from None
        raise CohortRefused(f"site {site}: {error}") from None


def _require_meanings(cohort: TableCohort, site: str) -> None:
    if not any(cohort.clinical_meanings.values()):
        raise CohortRefused(
            f"site {site}: the study does not say what its columns are made of in clinical "
            "records; ask for clinical: {what: ...} of each, or name a table under data in the "
            "site file"
        )


def _no_images(site: str) -> CohortRefused:
    return CohortRefused(
        f"site {site}: the study is of images, and the site file names clinical records; name the "
        "images under data"
    )
