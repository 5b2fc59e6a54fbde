"""The data of a site file: where the hospital's records lie, and whose they are.

Each kind of place is a class here, one of the members of ``Data``, and gives the ``Source`` that
reads it. A study never chooses among them.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pipelines.sources.source import RecordFile, Source
from pipelines.sources.tables.dialect import FileDialect, FileEncoding, Thousands
from protocol.study.cohort.cohort import Decimal, Delimiter
from protocol.study.frozen_model import FrozenModel

Column: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Data(FrozenModel):
    """What every kind of place states about whose its records are.

    ``patient_number`` names the column that holds this hospital's own number of a
    person, the same for life and in every data set; ``one_row_is_one_person`` says
    that no person has two rows. Nothing is taken for granted (``patient_statement``).
    """

    patient_number: Column | None = None
    one_row_is_one_person: bool = False


def _is_file(path: str) -> str:
    if "://" in path:
        raise ValueError(
            "is an address: name a file (a database's table or query, exported as CSV in UTF-8)"
        )
    return path


class FileData(_Data):
    """Records in a file: a table in CSV, Excel (.xlsx) or Parquet, or an npz of images.

    What a file is, its bytes say and not its name. A path is taken from the site file's folder.
    ``delimiter``, ``decimal``, ``thousands``, ``encoding`` and ``header`` say how it is written
    where it is not as the study says; what its cells mean is the study's. ``sheet`` is the sheet of
    a workbook that has several.
    """

    kind: Literal["file"]
    path: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_is_file)]
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
        return RecordFile(path=home / self.path, dialect=dialect)


#: The kinds of place, told apart by ``kind``.
Data: TypeAlias = FileData
