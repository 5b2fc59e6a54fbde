"""One real table, UCI Heart Disease of Hungarian, as every kind of source gives it.

Each source has the rows in an order of its own, and the types that such a source has.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow
import pyarrow.parquet
import torch

from collegium.studies.bundled import bundled_study
from pipelines.cohort.loading import load_cohort
from pipelines.networks.networks import build
from pipelines.sources.source import DatabaseQuery, RecordFile, Source
from pipelines.sources.tables.dialect import FileDialect
from protocol.encoding import digest
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.tensors import encode_tensors
from tests.support.hospital.databases import fill, query_of

_KEY = "patient"
_HEART = bundled_study("heart-disease")


def study() -> Study:
    """Returns the heart disease study, for records that have a patient's key."""
    text = _HEART.document.read_text().replace("patient_key: row", f"patient_key: {_KEY}")
    text = text.replace("  columns:\n", f"  columns:\n    - {{name: {_KEY}, kind: other}}\n")
    begin, end = text.index("split:"), text.index("task:")
    split = "split: {method: keyed_hash, test_fraction: 0.3}\n"
    return read_study(text[:begin] + split + text[end:])


def names() -> list[str]:
    """Returns the table's columns."""
    return [column.name for column in study().cohort.columns]


def texts(seed: int) -> list[list[str]]:
    """Returns the rows as text, in an order of their own; some patients have two."""
    lines = (_HEART.document.parent / "processed.hungarian.data").read_text().splitlines()
    rows = [[f"H{n * 2 // 3:04}", *line.split(",")] for n, line in enumerate(lines)]
    random.Random(seed).shuffle(rows)
    return rows


def values(seed: int) -> list[list[object]]:
    """Returns the rows as values: numbers, and None for what is missing."""
    return [
        [row[0], *(None if cell == "?" else float(cell) for cell in row[1:])] for row in texts(seed)
    ]


def csv_source(folder: Path) -> Source:
    """Returns the table as CSV, written as some hospital writes it."""
    lines = [";".join(names()), *(";".join(row).replace(".", ",") for row in texts(1))]
    (folder / "heart.csv").write_bytes("\r\n".join(lines).encode("utf-16"))
    dialect = FileDialect(delimiter=";", decimal=",", encoding="utf-16", header=True)
    return RecordFile(path=folder / "heart.csv", dialect=dialect)


def excel_source(folder: Path) -> Source:
    """Returns the table as an Excel workbook."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in [names(), *values(2)]:
        sheet.append(row)
    book.save(folder / "heart.xlsx")
    return RecordFile(path=folder / "heart.xlsx", dialect=FileDialect(header=True))


def parquet_source(folder: Path) -> Source:
    """Returns the table as Parquet, with numbers of four bytes."""
    rows = values(3)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names())}
    table = pyarrow.table(columns)
    singles = [
        pyarrow.field(f.name, "float32" if f.type == pyarrow.float64() else f.type)
        for f in table.schema
    ]
    pyarrow.parquet.write_table(
        table.cast(pyarrow.schema(singles)), folder / "heart.parquet", row_group_size=100
    )
    return RecordFile(path=folder / "heart.parquet")


def database_source(folder: Path, address: str, query_address: str) -> DatabaseQuery:
    """Returns the table in a database, as exact decimals where it has them."""
    columns = [f'"{name}" {"text" if name == _KEY else "numeric(9, 3)"}' for name in names()]
    fill(address, "heart", values(4), ", ".join(columns))
    return query_of(folder, query_address, "SELECT * FROM heart")


def digests_of(source: Source, shown: Sequence[str] = ()) -> tuple[str, str]:
    """Returns the digests of the cohort and of the model that a short training gives."""
    plan = study()
    records = load_cohort(plan.cohort, source, site="hungarian", keep=shown)
    module = build(plan.task, plan.cohort, 1)
    features = torch.from_numpy(np.asarray(records.features))
    labels = torch.from_numpy(np.asarray(records.labels))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for begin in range(0, len(labels), 32):  # in their order: another one gives another model
        optimizer.zero_grad()
        outputs = module(features[begin : begin + 32]).reshape(-1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            outputs, labels[begin : begin + 32]
        )
        loss.backward()
        optimizer.step()
    tensors = {name: value.detach().numpy() for name, value in module.named_parameters()}
    return records.digest, digest(encode_tensors(tensors))
