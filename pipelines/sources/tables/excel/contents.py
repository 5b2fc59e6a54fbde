"""The contents of an Excel workbook, looked through before anything of it is unpacked into memory.

Rules:

1. What a workbook unpacks to is counted by unpacking it in pieces, whatever it says of itself.
2. A sheet is a grid in memory, as wide as its widest row and as high as its last: a single cell far
   out makes it huge, so its corners are found first.
3. What calamine gives as an empty cell, and is none, is found here: an error such as ``#DIV/0!``,
   and a formula whose value nobody has computed.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

#: What a workbook may unpack to.
MAX_UNPACKED = 10**9
#: What a sheet's grid may hold; calamine takes some 32 bytes for each cell of it.
MAX_CELLS = 2 * 10**7
_MAX_ENTRIES = 10_000
#: Excel counts its rows to 1,048,576.
_ROW_DIGITS = 7
_PIECE = 1 << 18
_LOCAL_HEADER = 30
_LOCAL_SIGNATURE = b"PK\x03\x04"


class WorkbookFault(Exception):
    """A workbook that is not read; its text says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A sheet's name, whether a person sees it, and the part of the file that holds it."""

    name: str
    visible: bool
    part: str


@dataclass(kw_only=True)
class SheetContents:
    """A sheet as it stands in the file; places are (row, column), counted from 0."""

    rows: int = 0
    columns: int = 0
    errors: list[tuple[int, int]] = field(default_factory=list)
    not_computed: list[tuple[int, int]] = field(default_factory=list)


def sheets_of(path: Path) -> list[Sheet]:
    """Returns a workbook's sheets, after its parts were counted.

    Raises:
        WorkbookFault: it is no workbook that can be read, or too large.
        OSError: it cannot be read.
    """
    with _opened(path) as archive:
        _count(archive)
        targets: dict[str, str] = {}
        sheets: list[Sheet] = []

        def relation(name: str, given: Mapping[str, str]) -> None:
            if name == "Relationship" and given.get("Type", "").endswith("/worksheet"):
                target = given.get("Target", "")
                targets[given.get("Id", "")] = (
                    target.lstrip("/") if target.startswith("/") else f"xl/{target}"
                )

        def sheet(name: str, given: Mapping[str, str]) -> None:
            if name == "sheet":
                numbers = [given[key] for key in given if key.rpartition(":")[2] == "id"]
                part = targets.get(numbers[0]) if numbers else None
                if part is not None:
                    visible = given.get("state", "visible") == "visible"
                    sheets.append(Sheet(name=given.get("name", ""), visible=visible, part=part))

        _parse(archive, "xl/_rels/workbook.xml.rels", _Follow(relation))
        _parse(archive, "xl/workbook.xml", _Follow(sheet))
        return sheets


def contents_of(path: Path, sheet: Sheet) -> SheetContents:
    """Returns where a sheet ends, and its cells that have no value.

    Raises:
        WorkbookFault: it cannot be read, or its grid is too large.
    """
    found = _Cells()
    with _opened(path) as archive:
        _parse(archive, sheet.part, found)
    found.finish()
    cells = found.contents.rows * found.contents.columns
    if cells > MAX_CELLS:
        raise WorkbookFault(
            f"its sheet spans {found.contents.rows} rows and {found.contents.columns} columns, "
            f"more than {MAX_CELLS} cells: delete what stands far below or beside the table, or "
            "write it as CSV or Parquet"
        )
    return found.contents


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
        raise WorkbookFault(_DAMAGED) from error


_DAMAGED = "it is cut off or damaged: save it again"


def _count(archive: zipfile.ZipFile) -> None:
    """Refuses an archive that unpacks to too much, or to anything but what it says."""
    entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES:
        raise WorkbookFault(f"it holds {len(entries)} parts, the limit is {_MAX_ENTRIES}")
    total = 0
    for entry in entries:
        for piece in _unpacked(archive, entry):
            total += len(piece)
            if total > MAX_UNPACKED:
                raise WorkbookFault(
                    f"it unpacks to more than {MAX_UNPACKED} bytes: write the table as CSV or "
                    "Parquet"
                )


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yields what an entry unpacks to, as far as its bytes go: not only as far as it says."""
    if entry.flag_bits & 1:
        raise WorkbookFault("it is protected by a password: save it without")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise WorkbookFault("it is packed in a way that Excel does not use: save it again")
    file: Any = archive.fp
    file.seek(entry.header_offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or not header.startswith(_LOCAL_SIGNATURE):
        raise WorkbookFault(_DAMAGED)
    lengths = struct.unpack_from("<HH", header, 26)
    file.seek(entry.header_offset + _LOCAL_HEADER + sum(lengths))
    left = entry.compress_size
    deflated = entry.compress_type == zipfile.ZIP_DEFLATED
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        while left > 0:
            packed = file.read(min(left, _PIECE))
            if not packed:
                raise WorkbookFault(_DAMAGED)
            left -= len(packed)
            if not deflated:
                yield packed
                continue
            while packed:
                yield inflate.decompress(packed, _PIECE)
                packed = inflate.unconsumed_tail
    except zlib.error as error:
        raise WorkbookFault(_DAMAGED) from error


def _parse(archive: zipfile.ZipFile, part: str, follow: "_Follow | _Cells") -> None:
    """Reads a part of the workbook as XML, in pieces."""
    parser = expat.ParserCreate()
    parser.StartElementHandler = follow.start
    parser.StartDoctypeDeclHandler = _refuse_doctype
    if isinstance(follow, _Cells):
        follow.parser = parser
    try:
        for piece in _unpacked(archive, archive.getinfo(part)):
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except KeyError as error:
        raise WorkbookFault(_DAMAGED) from error
    except expat.ExpatError as error:
        raise WorkbookFault(_DAMAGED) from error


def _refuse_doctype(*_: object) -> None:
    raise WorkbookFault("it declares entities of XML, which Excel never does")


class _Follow:
    """Hands each element of a part, without its name space, to a function."""

    def __init__(self, each: Callable[[str, Mapping[str, str]], None]) -> None:
        self._each = each

    def start(self, name: str, given: dict[str, str]) -> None:
        """Takes the beginning of an element."""
        self._each(name.rpartition(":")[2], given)


class _Cells:
    """Follows a sheet's cells: how far they reach, and which of them have no value."""

    def __init__(self) -> None:
        self.contents = SheetContents()
        self.parser: Any = None
        self._columns: dict[str, int] = {}
        self._row = self._column = -1
        self._formula = self._text = self._has_value = False

    def start(self, name: str, given: dict[str, str]) -> None:
        """Takes the beginning of an element: a row, a cell, or what is within it."""
        if ":" in name:
            name = name.rpartition(":")[2]
        if name == "c":
            if self._formula:
                self.finish()
            self._begin(given)
        elif name == "v":
            if self._formula:
                self.parser.CharacterDataHandler = self._note_value
        elif name == "f":
            self._formula = True
        elif name == "row":
            number = given.get("r", "")
            self._row = _row_number(number) - 1 if number.isdecimal() else self._row + 1
            self._column = -1

    def _begin(self, given: dict[str, str]) -> None:
        reference = given.get("r")
        if reference is None:
            self._column += 1
        else:
            letters = reference.rstrip("0123456789")
            if letters not in self._columns:
                self._columns[letters] = _column_number(letters)
            self._column = self._columns[letters]
            self._row = _row_number(reference[len(letters) :] or "0") - 1
        contents = self.contents
        if self._column >= contents.columns:
            contents.columns = self._column + 1
        if self._row >= contents.rows:
            contents.rows = self._row + 1
        kind = given.get("t")
        self._text = kind == "str"
        if kind == "e":
            contents.errors.append((self._row, self._column))

    def _note_value(self, _: str) -> None:
        self._has_value = True

    def finish(self) -> None:
        """Takes the end of a cell with a formula."""
        if self._formula and not self._has_value and not self._text:
            self.contents.not_computed.append((self._row, self._column))
        self._formula = self._has_value = False
        self.parser.CharacterDataHandler = None


def _row_number(digits: str) -> int:
    if len(digits) > _ROW_DIGITS:
        raise WorkbookFault(_DAMAGED)
    return int(digits)


def _column_number(letters: str) -> int:
    """Returns a column's number, from 0.

    >>> _column_number("A"), _column_number("AB")
    (0, 27)
    """
    if not 1 <= len(letters) <= 3 or not (letters.isascii() and letters.isalpha()):
        raise WorkbookFault(_DAMAGED)
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
