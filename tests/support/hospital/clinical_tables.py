"""The patients of the example readmission for tests, with its study, and their tables in SQLite."""

import runpy
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.sources.clinical.omop.database import DatabaseTables
from pipelines.sources.tables.sql.address import DatabaseAddress
from tests import ROOT

_EXAMPLE = ROOT / "examples" / "readmission"
_SCRIPT = runpy.run_path(str(_EXAMPLE / "make_patients.py"))

Tables, Resource, UNTIL = _SCRIPT["Tables"], _SCRIPT["Resource"], _SCRIPT["UNTIL"]
patients, write_csv = _SCRIPT["patients"], _SCRIPT["write_csv"]
omop_tables, write_tables = _SCRIPT["omop_tables"], _SCRIPT["write_tables"]
fhir_resources, write_ndjson = _SCRIPT["fhir_resources"], _SCRIPT["write_ndjson"]
#: The study that reads such patients.
STUDY = (_EXAMPLE / "study.yaml").read_text()


def database(url: str, schema: str | None = None) -> DatabaseTables:
    """Returns the tables in a database at an address."""
    return DatabaseTables(
        address=DatabaseAddress(folder=Path(), url=url), site="east", schema=schema
    )


def write_sqlite(path: Path, tables: Mapping[str, Sequence[Mapping[str, str]]]) -> Path:
    """Writes tables as an SQLite database, numbers as numbers and what is empty as null."""
    with sqlite3.connect(path) as database:
        for name, rows in tables.items():
            columns = list(rows[0])
            types = ["integer" if column.endswith("_id") else "text" for column in columns]
            declared = ", ".join(f"{c} {t}" for c, t in zip(columns, types, strict=True))
            database.execute(f"create table {name} ({declared})")
            marks = ", ".join("?" for _ in columns)
            database.executemany(
                f"insert into {name} values ({marks})",  # noqa: S608
                [[row[column] or None for column in columns] for row in rows],
            )
    database.close()
    return path
