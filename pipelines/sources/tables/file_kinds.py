"""Kinds of files that are taken for CSV, told by their first bytes, and what to do with each."""

from collections.abc import Callable
from typing import NamedTuple

_SAVE = "save the sheet as CSV (UTF-8)"
_WRITE = "write it as CSV in UTF-8"
_UNPACK = "unpack it, and name the CSV file within"
#: How many bytes are looked at to tell UTF-16 without a byte order mark.
_BEGINNING = 1024


class FileKind(NamedTuple):
    """A kind of file, and the way from its records to CSV."""

    name: str
    remedy: str


def file_kind(data: bytes) -> FileKind | None:
    """Returns what a file is, or None where it may be text with one byte or more a letter.

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
    (_is_excel, FileKind("an Excel workbook", _SAVE)),
    (_is_open_document, FileKind("an OpenDocument spreadsheet", _SAVE)),
    (_begins(b"PK\x03\x04", b"PK\x05\x06"), FileKind("a zip archive", _UNPACK)),
    (
        _begins(bytes.fromhex("d0cf11e0a1b11ae1")),
        FileKind("an Excel workbook (.xls) or another old Office file", _SAVE),
    ),
    (_is_parquet, FileKind("a Parquet file", _WRITE)),
    (_begins(b"ARROW1\x00\x00"), FileKind("an Arrow (Feather) file", _WRITE)),
    (_begins(b"\x1f\x8b"), FileKind("a gzip archive", _UNPACK)),
    (
        _begins(b"SQLite format 3\x00"),
        FileKind("an SQLite database", "export its table or query as CSV in UTF-8"),
    ),
    (
        _is_wide_text,
        FileKind("UTF-16 (or UTF-32) text", "save the file as CSV in UTF-8"),
    ),
)
