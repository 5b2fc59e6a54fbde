"""The data of a site file: where the hospital's records lie, and whose they are.

Each kind of place is a class here, one of the members of ``Data``, and gives the ``Source`` that
reads it. A study never chooses among them.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from pipelines.sources.source import DatabaseQuery, RecordFile, Source
from pipelines.sources.tables.dialect import FileDialect, FileEncoding, Thousands
from pipelines.sources.tables.sql.address import DatabaseAddress, has_secret
from pipelines.sources.tables.sql.reading import QueryLimits
from protocol.study.cohort.cohort import Decimal, Delimiter
from protocol.study.cohort.dates import DateFormat
from protocol.study.cohort.units import UnitName
from protocol.study.documents.yaml_document import NOT_SHOWN
from silos.config.site_file.clinical_data import FhirData, OmopData
from silos.config.site_file.record_place import Column, RecordPlace
from silos.config.site_file.value_forms import PathText, VariableName


class _TableData(RecordPlace):
    """Statements of a place of tables about columns, each by its name.

    ``units`` names the unit of this hospital's numbers where it is another than the study's and
    the study converts it, ``dates`` how a column's dates are written.
    """

    units: dict[Column, UnitName] = Field(default_factory=dict)
    dates: dict[Column, DateFormat] = Field(default_factory=dict)


def _is_file(path: str) -> str:
    if "://" in path:
        raise ValueError("is an address: name a file, or a database by kind: sql")
    return path


#: A path that is no address.
FilePath: TypeAlias = Annotated[PathText, AfterValidator(_is_file)]


class FileData(_TableData):
    """Records in a file: a table in CSV, Excel (.xlsx) or Parquet, or an npz of images.

    What a file is, its bytes say and not its name. A path is taken from the site file's folder.
    ``delimiter``, ``decimal``, ``thousands``, ``encoding`` and ``header`` say how it is written
    where it is not as the study says; what its cells mean is the study's. ``sheet`` is the sheet of
    a workbook that has several.
    """

    kind: Literal["file"]
    path: FilePath
    sheet: Annotated[str, StringConstraints(min_length=1, max_length=31)] | None = None
    delimiter: Delimiter | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    encoding: FileEncoding | None = None
    header: bool | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "FileData":
        if self.thousands is not None and self.thousands == self.decimal:
            raise ValueError("thousands and decimal must not be the same mark")
        return self

    def source(self, home: Path) -> Source:
        """Returns what reads the records, given the site file's folder."""
        dialect = FileDialect(
            delimiter=self.delimiter,
            decimal=self.decimal,
            thousands=self.thousands,
            encoding=self.encoding,
            header=self.header,
            sheet=self.sheet,
        )
        return RecordFile(
            path=home / self.path, dialect=dialect, units=self.units, dates=self.dates
        )


def _holds_no_secret(url: str) -> str:
    if has_secret(url):
        raise PydanticCustomError(
            NOT_SHOWN,
            "holds a password, or cannot be read: keep the address in a file for its owner alone "
            "(url_file: db-url, chmod 600), or in an environment variable (url_env: NAME)",
        )
    return url


#: An address in which no password stands.
Url: TypeAlias = Annotated[
    str, StringConstraints(max_length=2000), AfterValidator(_holds_no_secret)
]


class SqlData(_TableData):
    """Records that a query of the hospital's own gives, of a database that SQLAlchemy reaches.

    The address stands in a file that its owner alone can read (``url_file``), in an environment
    variable (``url_env``), or here (``url``) where no password is in it. ``query`` is the file of
    the query. It may take ``seconds``, and give ``rows``. Paths are taken from the site file's
    folder.
    """

    kind: Literal["sql"]
    url: Url | None = None
    url_env: VariableName | None = None
    url_file: PathText | None = None
    query: PathText
    seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 10_000_000

    @model_validator(mode="after")
    def _consistent(self) -> "SqlData":
        if [self.url, self.url_env, self.url_file].count(None) != 2:
            raise ValueError("name the database by one of url_file, url_env and url")
        return self

    def source(self, home: Path) -> Source:
        """Returns what reads the records, given the site file's folder."""
        address = DatabaseAddress(
            folder=home,
            url=self.url,
            url_env=self.url_env,
            url_file=home / self.url_file if self.url_file else None,
        )
        limits = QueryLimits(seconds=self.seconds, rows=self.rows)
        return DatabaseQuery(
            address=address,
            query=home / self.query,
            limits=limits,
            units=self.units,
            dates=self.dates,
        )


class ImageFolderData(RecordPlace):
    """Images in a folder, and a table that names them; paths are taken from the site file's folder.

    ``image`` is the table's column that names each record's image: a path from ``folder`` on
    (``by: file``), a SeriesInstanceUID or an AccessionNumber; ``part`` its column of parts.
    ``header_patient: other`` says that the table's patients are not numbered as DICOM headers
    number them; ``burned_in: allowed`` that you looked at images in whose pixels words may stand.
    """

    kind: Literal["images"]
    folder: FilePath
    table: FilePath
    image: Column = "image"
    by: Literal["file", "series", "accession"] = "file"
    part: Column | None = None
    header_patient: Literal["same", "other"] = "same"
    burned_in: Literal["refuse", "allowed"] = "refuse"
    delimiter: Delimiter | None = None
    decimal: Decimal | None = None
    encoding: FileEncoding | None = None

    def source(self, home: Path) -> Source:
        """Returns what reads the images, given the site file's folder."""
        from pipelines.cohort.image_folders.folder import (
            ImageFolder,  # its libraries: only where needed
        )

        dialect = FileDialect(
            delimiter=self.delimiter, decimal=self.decimal, encoding=self.encoding
        )
        return ImageFolder(
            folder=home / self.folder,
            labels=RecordFile(path=home / self.table, dialect=dialect),
            image=self.image,
            by=self.by,
            part=self.part,
            header_patient=self.header_patient,
            burned_in=self.burned_in,
        )


#: The kinds of place, told apart by ``kind``.
Data: TypeAlias = Annotated[
    FileData | SqlData | OmopData | FhirData | ImageFolderData, Field(discriminator="kind")
]
