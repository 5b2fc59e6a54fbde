"""A file that is no CSV text is named for what it is, with what to do about it."""

import gzip
import io
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.feather
import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.sources.tables.file_kinds import file_kind
from protocol.errors import CohortRefused
from tests.support.simulated.studies import small_study

TEXT = "age,ward,patient,ill\n" + "".join(f"{30 + n},A,p{n},{n % 2}\n" for n in range(20))
TABLE = pyarrow.table({"age": list(range(20)), "ward": ["A"] * 20})


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return packed.getvalue()


def spreadsheet() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    return packed.getvalue()


def database(folder: Path) -> bytes:
    connection = sqlite3.connect(folder / "kept.db")
    connection.execute("create table stays (age integer)")
    connection.commit()
    connection.close()
    return (folder / "kept.db").read_bytes()


def feather(folder: Path) -> bytes:
    pyarrow.feather.write_feather(TABLE, folder / "kept.feather")
    return (folder / "kept.feather").read_bytes()


KINDS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "xlsb": (
        lambda _: zipped("[Content_Types].xml", "xl/workbook.bin"),
        r"a binary Excel workbook \(.xlsb\), not CSV text; save it as an Excel workbook \(.xlsx\)",
    ),
    "ods": (lambda _: spreadsheet(), "an OpenDocument spreadsheet"),
    "xls": (
        lambda _: bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504),
        r"an old \(.xls\) or password-protected Excel workbook",
    ),
    "zip": (lambda _: zipped("stays.csv"), "a zip archive, not CSV text; unpack it"),
    "gzip": (lambda _: gzip.compress(TEXT.encode()), "a gzip archive, not CSV text; unpack it"),
    "feather": (feather, "an Arrow .Feather. file, not CSV text; write it as Parquet"),
    "sqlite": (database, "an SQLite database, not CSV text; .* data: {kind: sql, url: 'sqlite:"),
    "utf-16": (
        lambda _: TEXT.encode("utf-16"),
        "UTF-16 .* text, not CSV text; save the file as CSV in UTF-8, or write encoding: utf-16",
    ),
    "utf-16-be": (lambda _: b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16"),
    "utf-16 without a mark": (lambda _: TEXT.encode("utf-16-le"), "UTF-16"),
    "utf-32": (lambda _: TEXT.encode("utf-32"), "UTF-16"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_text_is_named_for_what_it_is(
    tmp_path: Path, kind: str, encoding: str
) -> None:
    content, said = KINDS[kind]
    file = tmp_path / "records.csv"
    file.write_bytes(content(tmp_path))
    cohort = small_study().cohort.model_copy(update={"encoding": encoding})
    with pytest.raises(CohortRefused, match=f"'records.csv' is {said}") as refused:
        load_cohort(cohort, file, site="east")
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x00",
        b"PAR1,age\n1,2\n",
        b"PK,age\n1,2\n",
        b"ARROW1,age\n",
        b"SQLite format 3,age\n",
        b"\xef\xbb\xbfage,ill\n",
        TEXT.encode(),
        "größe,krank\n170,1\n".encode("latin-1"),
        "年齢,病気\n60,1\n".encode(),
    ],
)
def test_text_is_never_taken_for_anything_else(text: bytes) -> None:
    assert file_kind(text) is None
