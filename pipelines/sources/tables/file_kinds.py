"""Kinds of files of records, told by their bytes and not by their name.

Excel workbooks, Parquet files and CSV text are read; from other kinds a way leads to one of them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pipelines.sources.faults import require_ordinary

#: The name of the kind that a hospital's own ``encoding`` may ask for.
UTF_16 = "UTF-16 (or UTF-32) text"
_XLSX = "save it as an Excel workbook (.xlsx) or CSV (UTF-8)"
_WRITE = "write it as Parquet, or as CSV in UTF-8"
_UNPACK = "unpack it, and name the CSV file within"
#: How many bytes are looked at to tell UTF-16 without a byte order mark.
_BEGINNING = 1024
#: How much of a file's beginning and end says what it is: a zip's list of contents is at its end.
_ENDS = 1 << 16


class FileKind(NamedTuple):
    """A kind of file, and how its records are read, or the way from them to a file that is read.

    ``fault`` is its name in the catalogue of faults where it is not read.
    """

    name: str
    remedy: str = ""
    read_as: Literal["excel", "parquet"] | None = None
    fault: str = "another-kind-of-file"


def kind_of_file(path: Path) -> FileKind | None:
    """Returns what the file at a path is, see ``file_kind``.

    Raises:
        OSError: it cannot be read.
    """
    require_ordinary(path)
    with path.open("rb") as file:
        beginning = file.read(_ENDS)
        size = file.seek(0, 2)
        file.seek(max(len(beginning), size - _ENDS))
        return file_kind(beginning + file.read())


def file_kind(data: bytes) -> FileKind | None:
    """Returns what a file is, by its beginning and end; None where it may be text.

    Text of two bytes a letter (UTF-16) is a kind of its own.

    >>> file_kind(bytes.fromhex("1f8b0800")).name, file_kind(b"age,ill")
    ('a gzip archive', None)

    No text begins as these do: each signature holds a control character, or is
    confirmed elsewhere in the file.
    """
    return next((kind for is_one, kind in _KINDS if is_one(data)), None)


def _begins(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(signatures)


def _is_excel(data: bytes) -> bool:
    return data.startswith(b"PK\x03\x04") and b"xl/work" in data


def _is_binary_workbook(data: bytes) -> bool:
    return data.startswith(b"PK\x03\x04") and b"xl/workbook.bin" in data


def _is_open_document(data: bytes) -> bool:
    return data.startswith(b"PK\x03\x04") and b"opendocument.spreadsheet" in data[:_BEGINNING]


def _is_parquet(data: bytes) -> bool:
    return data.startswith(b"PAR1") and (data.endswith(b"PAR1") or b"\x00" in data)


def _is_wide_text(data: bytes) -> bool:
    """Whether there is a byte order mark, or every second byte of the beginning is zero."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        return True
    beginning = data[:_BEGINNING]
    pairs = len(beginning) // 2
    zeros = (beginning[0::2].count(0), beginning[1::2].count(0))
    return pairs > 1 and max(zeros) >= 0.9 * pairs and min(zeros) == 0


_KINDS: tuple[tuple[Callable[[bytes], bool], FileKind], ...] = (
    (_is_binary_workbook, FileKind("a binary Excel workbook (.xlsb)", _XLSX)),
    (_is_excel, FileKind("an Excel workbook", read_as="excel")),
    (_is_open_document, FileKind("an OpenDocument spreadsheet", _XLSX)),
    (_begins(b"PK\x03\x04", b"PK\x05\x06"), FileKind("a zip archive", _UNPACK)),
    (
        _begins(bytes.fromhex("d0cf11e0a1b11ae1")),
        FileKind(
            "an old (.xls) or password-protected Excel workbook, or another Office file", _XLSX
        ),
    ),
    (_is_parquet, FileKind("a Parquet file", read_as="parquet")),
    (_begins(b"ARROW1\x00\x00"), FileKind("an Arrow (Feather) file", _WRITE)),
    (_begins(b"\x1f\x8b"), FileKind("a gzip archive", _UNPACK)),
    (
        _begins(b"SQLite format 3\x00"),
        FileKind(
            "an SQLite database",
            "in a hospital's site file write data: {kind: sql, url: 'sqlite:///FILE', query: "
            "QUERY.sql}, or export its table as CSV in UTF-8",
        ),
    ),
    (
        _is_wide_text,
        FileKind(
            UTF_16,
            "save the file as CSV in UTF-8, or write encoding: utf-16 under data in a hospital's "
            "site file",
            fault="utf-16",
        ),
    ),
)
