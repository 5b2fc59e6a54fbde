"""Clinical records as a site file names them: OMOP tables, FHIR resources."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, model_validator

from pipelines.sources.clinical.clinical_source import FhirRecords, OmopRecords
from pipelines.sources.clinical.fhir.reading import ExportFacts
from pipelines.sources.clinical.omop.database import DatabaseTables
from pipelines.sources.clinical.omop.table_folder import TableFolder
from pipelines.sources.source import Source
from pipelines.sources.tables.sql.address import DatabaseAddress
from silos.config.site_file.record_place import RecordPlace
from silos.config.site_file.value_forms import (
    IdentifierSystem,
    PathText,
    TimeZoneName,
    VariableName,
)


class OmopData(RecordPlace):
    """Records in the tables of the OMOP Common Data Model 5.4, in a folder or in a database.

    ``folder`` holds a CSV or Parquet file for each table. A database's address, as SQLAlchemy
    writes it, holds a password: it stands in a file (``url_file``, from the site file's folder) or
    in an environment variable (``url_env``), never here. ``schema`` is the one that holds the
    tables.
    """

    kind: Literal["omop"]
    folder: PathText | None = None
    url_file: PathText | None = None
    url_env: VariableName | None = None
    schema_name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None, alias="schema"
    )

    @model_validator(mode="after")
    def _one_place(self) -> "OmopData":
        named = [self.folder, self.url_file, self.url_env]
        if sum(each is not None for each in named) != 1:
            raise ValueError("write one of folder, url_file and url_env")
        if self.folder is not None and self.schema_name is not None:
            raise ValueError("schema is of a database: a folder has none")
        return self

    def source(self, home: Path) -> Source:
        """Returns what reads the records, given the site file's folder."""
        if self.folder is not None:
            folder = home / self.folder
            return OmopRecords(tables=lambda _site: TableFolder(folder), folder=folder)
        address = DatabaseAddress(
            folder=home,
            url_env=self.url_env,
            url_file=home / self.url_file if self.url_file else None,
        )
        return OmopRecords(
            tables=lambda site: DatabaseTables(address=address, site=site, schema=self.schema_name)
        )


class FhirData(RecordPlace):
    """Records as FHIR R4 resources: a folder of NDJSON files, as a bulk export writes them.

    ``complete_until`` is the last day whose records are all in the export. ``identifier`` is the
    system of the identifier that is this hospital's own number of a patient; left out, it is the
    Patient's id. ``time_zone`` is that of the hospital's clock, where the export tells times in
    another.
    """

    kind: Literal["fhir"]
    folder: PathText
    complete_until: date | None = None
    identifier: IdentifierSystem | None = None
    time_zone: TimeZoneName | None = None

    def source(self, home: Path) -> Source:
        """Returns what reads the records, given the site file's folder."""
        facts = ExportFacts(
            complete_until=None if self.complete_until is None else self.complete_until.toordinal(),
            identifier=self.identifier,
            zone=None if self.time_zone is None else ZoneInfo(self.time_zone),
        )
        return FhirRecords(folder=home / self.folder, facts=facts)
