"""One cohort, one model: a CSV file, OMOP tables and FHIR resources of the same patients."""

import gzip
import hashlib
import random
from pathlib import Path

import psycopg
import pyarrow
import pyarrow.parquet
import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.records import Records
from pipelines.sources.clinical.clinical_source import FhirRecords, OmopRecords
from pipelines.sources.clinical.fhir.reading import ExportFacts
from pipelines.sources.clinical.omop.table_folder import TableFolder
from pipelines.sources.source import Source
from protocol.study.study_file import read_study
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.trainer import Trainer
from tests.support.hospital.clinical_tables import (
    STUDY,
    UNTIL,
    database,
    fhir_resources,
    omop_tables,
    patients,
    write_csv,
    write_ndjson,
    write_sqlite,
    write_tables,
)
from tests.support.machine.postgres import Server

FOUND = patients(300)


def records(source: Source | Path, text: str = STUDY) -> Records:
    return load_cohort(read_study(text).cohort, source, site="east")


def fhir(folder: Path) -> FhirRecords:
    return FhirRecords(folder=folder, facts=ExportFacts(complete_until=UNTIL.toordinal()))


def omop(folder: Path) -> OmopRecords:
    return OmopRecords(tables=lambda _site: TableFolder(folder))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Records:
    path = tmp_path_factory.mktemp("csv") / "east.csv"
    write_csv(path, FOUND)
    return records(path)


def same(found: Records, table: Records) -> bool:
    assert len(table) > 200
    return (found.digest, found.patient_keys) == (table.digest, table.patient_keys)


def test_a_folder_of_omop_tables_is_the_csv_files_cohort(table: Records, tmp_path: Path) -> None:
    assert same(records(omop(write_tables(tmp_path / "cdm", omop_tables(FOUND)))), table)


def test_fhir_resources_are_the_csv_files_cohort(table: Records, tmp_path: Path) -> None:
    folder = write_ndjson(tmp_path / "fhir", list(fhir_resources(FOUND)))
    assert same(records(fhir(folder)), table)


def test_an_sqlite_database_is_the_csv_files_cohort(table: Records, tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "cdm.db", omop_tables(FOUND))
    source = OmopRecords(tables=lambda _site: database(f"sqlite:///{path}"))
    assert same(records(source), table)


def test_a_schema_of_a_postgresql_is_the_csv_files_cohort(table: Records, postgres: Server) -> None:
    address = postgres.new_database()
    tables = omop_tables(FOUND)
    with psycopg.connect(address) as connection:
        connection.execute("create schema cdm")
        for name, rows in tables.items():
            types = {column: _type_of(column) for column in rows[0]}
            declared = ", ".join(f"{column} {kind}" for column, kind in types.items())
            connection.execute(f"create table cdm.{name} ({declared})".encode())
            marks = ", ".join("%s" for _ in types)
            with connection.cursor() as cursor:
                cursor.executemany(
                    f"insert into cdm.{name} values ({marks})".encode(),  # noqa: S608
                    [[row[column] or None for column in types] for row in rows],
                )
    source = OmopRecords(tables=lambda _site: database(address, schema="cdm"))
    assert same(records(source), table)


def _type_of(column: str) -> str:
    """Returns the type of a column in the Common Data Model's own definition for PostgreSQL."""
    if column.endswith("_datetime"):
        return "timestamp"
    if column.endswith("_date"):
        return "date"
    if column == "value_as_number":
        return "numeric"
    return "varchar(50)" if column in ("cdm_version", "cdm_source_name") else "integer"


def test_parquet_and_compressed_csv_are_the_csv_files_cohort(
    table: Records, tmp_path: Path
) -> None:
    folder = write_tables(tmp_path / "cdm", omop_tables(FOUND))
    for path in sorted(folder.iterdir()):
        if path.stem == "measurement":
            (folder / "MEASUREMENT.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        elif path.stem == "person":
            rows = omop_tables(FOUND)["person"]
            columns = {name.upper(): [int(row[name]) for row in rows] for name in rows[0]}
            pyarrow.parquet.write_table(pyarrow.table(columns), folder / "person.parquet")
        else:
            continue
        path.unlink()
    assert same(records(omop(folder)), table)


def test_a_compressed_export_in_many_files_is_the_csv_files_cohort(
    table: Records, tmp_path: Path
) -> None:
    resources = list(fhir_resources(FOUND))
    random.Random(1).shuffle(resources)
    folder = write_ndjson(tmp_path / "fhir", resources)
    path = folder / "Observation.000.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    (folder / "Observation-1.ndjson.gz").write_bytes(gzip.compress(b"".join(lines[:500])))
    (folder / "Observation-2.ndjson").write_bytes(b"".join(lines[500:]) + b"\n")
    (folder / "Observation-3.ndjson").write_bytes(b"")
    assert same(records(fhir(folder)), table)


def test_training_on_each_gives_the_same_model(tmp_path: Path) -> None:
    few = patients(60)
    write_csv(tmp_path / "east.csv", few)
    sources: list[Source | Path] = [
        tmp_path / "east.csv",
        omop(write_tables(tmp_path / "cdm", omop_tables(few))),
        fhir(write_ndjson(tmp_path / "fhir", list(fhir_resources(few)))),
    ]
    study, models = read_study(STUDY), set()
    for source in sources:
        read = records(source)
        trainer = Trainer(study, "east", read, read)
        given = RoundInput(model=trainer.initial_model(), number=0, noise_multiplier=1.0)
        change = trainer.update(given, FixedEntropy(7, simulated=True)).update
        models.add(hashlib.sha256(change.tobytes()).hexdigest())
    assert len(models) == 1
