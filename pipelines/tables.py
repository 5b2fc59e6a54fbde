"""Tables: CSV text (or the bundled records) in, encoded ``Records`` out.

Rules:

1. A file is read as text and every cell is encoded by the contract alone, so
   no cell's meaning depends on another cell, nor on a parser's guesses.
2. What does not fit is refused with column and line; a message holds names,
   line numbers and counts, never the content of a cell.
3. In a column of numbers a missing code is compared as a number: where ``-1``
   means missing, so do ``-1.0`` and ``-1e0``. Elsewhere it is compared as text.
4. With ``on_missing: drop_row`` a record that lacks a needed cell leaves before
   anything else about it is looked at.
"""

import csv
import io
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.file_kinds import file_kind
from pipelines.records import Noted, Records, number_patients, patient_token
from protocol.contract import CategoryColumn, NumberColumn, TableCohort, canonical_token
from protocol.errors import CohortRefused
from protocol.study import nearest

#: Larger tables belong into a database; the file is held in memory as text.
MAX_BYTES = 2 * 10**9
_NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INFINITE = frozenset({"inf", "infinity", "nan"})


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells of the columns a study needs, as text, and where they were written.

    ``lines`` are 1-based lines of the file, ``rows`` count its records from 0;
    ``repeated`` are the rows of the file that equal another in every cell.
    """

    site: str
    cells: dict[str, list[str]]
    lines: list[int]
    rows: list[int]
    repeated: NDArray[np.int64]

    def select(self, keep: Sequence[int]) -> "Table":
        """Returns the records at the given places."""
        return Table(
            site=self.site,
            cells={name: [cells[i] for i in keep] for name, cells in self.cells.items()},
            lines=[self.lines[i] for i in keep],
            rows=[self.rows[i] for i in keep],
            repeated=self.repeated,
        )


def needed_columns(cohort: TableCohort, keep: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns that must be in the file: features, label, patient key, kept ones."""
    key = () if cohort.patient_key == "row" else (cohort.patient_key,)
    names = [*(c.name for c in cohort.features), str(cohort.label.column), *key, *keep]
    return tuple(dict.fromkeys(names))


def read_csv(path: Path, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> Table:
    """Returns the needed columns of a CSV file.

    Raises:
        CohortRefused: unreadable, no text, empty, wrongly encoded or delimited, a
            column missing or named twice, lines of different lengths.
    """
    lines_read = _records_of(_text(path, cohort, site), cohort.delimiter, site)
    first = next(lines_read, None)
    if first is None:
        raise CohortRefused(f"site {site}: the file of records is empty")
    names = [column.name for column in cohort.columns]
    if len(first[1]) == 1 != len(names):
        _refuse_delimiter(first[1][0], cohort.delimiter, site)
    if cohort.header:
        names = [name.strip() for name in first[1]]
    else:
        _check_declared(len(first[1]), len(names), site)
        lines_read = itertools.chain([first], lines_read)
    places = _places(names, needed_columns(cohort, keep), site)
    cells: dict[str, list[str]] = {name: [] for name in places}
    lines: list[int] = []
    odd: list[tuple[int, int]] = []
    whole: list[int] = []
    for line, written in lines_read:
        if len(written) != len(names):
            odd.append((line, len(written)))
            continue
        lines.append(line)
        written = [cell.strip() for cell in written]
        whole.append(hash(tuple(written)))
        for name, place in places.items():
            cells[name].append(written[place])
    if odd:
        raise _uneven(odd, len(names), site)
    rows = list(range(len(lines)))
    return Table(site=site, cells=cells, lines=lines, rows=rows, repeated=_repeated(whole))


def _repeated(hashes: Sequence[int]) -> NDArray[np.int64]:
    """Returns the places whose number occurs more than once."""
    _, inverse, counts = np.unique(
        np.array(hashes, dtype=np.int64), return_inverse=True, return_counts=True
    )
    return np.flatnonzero(counts[inverse] > 1)


def _records_of(text: str, delimiter: str, site: str) -> Iterator[tuple[int, list[str]]]:
    """Yields every line that is not blank: its number, from 1, and its cells."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise CohortRefused(
            f"site {site}: line {reader.line_num}: not CSV (an open quote, or a cell too long)"
        ) from error


def read_bundled(cohort: TableCohort, *, site: str, keep: Sequence[str]) -> Table:
    """Returns scikit-learn's Breast Cancer Wisconsin as a table: 569 patients, one row each.

    Columns are scikit-learn's thirty names and ``diagnosis`` (malignant or benign).
    """
    from sklearn.datasets import load_breast_cancer  # a second of import: only who needs it

    bunch = load_breast_cancer()
    names = [*(str(name) for name in bunch.feature_names), "diagnosis"]
    columns = [[repr(float(value)) for value in column] for column in bunch.data.T]
    columns.append([str(bunch.target_names[target]) for target in bunch.target])
    places = _places(names, needed_columns(cohort, keep), site)
    count = len(bunch.target)
    return Table(
        site=site,
        cells={name: columns[place] for name, place in places.items()},
        lines=list(range(2, count + 2)),
        rows=list(range(count)),
        repeated=np.array([], dtype=np.int64),
    )


def encode_table(table: Table, cohort: TableCohort, *, keep: Sequence[str]) -> Records:
    """Returns the table's records as numbers, by the contract alone.

    A number becomes ``(value - centre) / scale``; a category one column per
    vocabulary entry but the first; columns stand in the contract's order.

    Raises:
        CohortRefused: a cell is missing, no number, outside its range or its
            vocabulary: the first such column and line, and how many more.
    """
    _refuse_empty_keys(table, cohort)
    table = _settle_missing(table, cohort, keep)
    count = len(table.rows)
    blocks = [_encode_feature(table, column, cohort.missing) for column in cohort.features]
    features = np.concatenate([np.zeros((count, 0)), *blocks], axis=1).astype(np.float32)
    if cohort.patient_key == "row":
        keys = [str(row) for row in table.rows]
    else:
        keys = [patient_token(cell) for cell in table.cells[cohort.patient_key]]
    patients, known = number_patients(np.array(keys, dtype=np.str_))
    return Records(
        features=features,
        labels=_encode_label(table, cohort),
        patients=patients,
        patient_keys=tuple(known.tolist()),
        rows=np.array(table.rows, dtype=np.int64),
        columns={name: _tokens(table.cells[name]) for name in keep},
        noted=_noted(table, cohort),
    )


def _noted(table: Table, cohort: TableCohort) -> Noted:
    """Returns which rows' numbers were clipped or imputed, of a table that fits the contract."""
    clipped: dict[str, NDArray[np.int64]] = {}
    imputed: dict[str, NDArray[np.int64]] = {}
    rows = np.array(table.rows, dtype=np.int64)
    for column in (c for c in cohort.features if isinstance(c, NumberColumn)):
        cells, (low, high) = table.cells[column.name], column.range
        missing = _missing_cells(cells, cohort.missing, as_numbers=True)
        outside = {cell for cell in set(cells) - missing if not low <= float(cell) <= high}
        for kind, found in ((clipped, outside), (imputed, missing)):
            if found:
                kind[column.name] = rows[[cell in found for cell in cells]]
    return Noted(clipped=clipped, imputed=imputed, repeated=table.repeated)


def refuse(site: str, column: str, what: str, lines: Sequence[int], remedy: str) -> CohortRefused:
    """Returns the refusal of some lines of one column: the first line, and how many more."""
    more = len(lines) - 1
    rest = f" (and {more} more line{'s' if more > 1 else ''})" if more else ""
    return CohortRefused(f"site {site}: column {column!r}, line {lines[0]}{rest}: {what}; {remedy}")


def _text(path: Path, cohort: TableCohort, site: str) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CohortRefused(f"site {site}: the file of records exceeds {MAX_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise CohortRefused(unreadable(site, path, error)) from error
    kind = file_kind(data)
    if kind is not None:
        raise CohortRefused(
            f"site {site}: the file of records {path.name!r} is {kind.name}, not CSV text; "
            f"{kind.remedy}"
        )
    encoding = "utf-8-sig" if cohort.encoding == "utf-8" else cohort.encoding
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CohortRefused(
            f"site {site}: line {line}: not {cohort.encoding} text; save the file as "
            f"{cohort.encoding}, or amend the contract's encoding"
        ) from error


def unreadable(site: str, path: Path, error: OSError) -> str:
    """Returns why a file cannot be read: its own name, never the folders above it."""
    reason = (error.strerror or type(error).__name__).lower()
    return f"site {site}: the file of records {path.name!r} cannot be read: {reason}"


def _check_declared(found: int, declared: int, site: str) -> None:
    if found != declared:
        raise CohortRefused(
            f"site {site}: the file has {found} columns, the contract declares {declared}; a file "
            "without header needs every column declared, in order"
        )


def _uneven(odd: list[tuple[int, int]], width: int, site: str) -> CohortRefused:
    line, found = odd[0]
    more = f" (and {len(odd) - 1} more lines)" if len(odd) > 1 else ""
    return CohortRefused(
        f"site {site}: line {line}{more}: {found} cells where {width} were expected; mend the "
        "line, or put a cell that holds the delimiter in quotes"
    )


def _refuse_delimiter(line: str, declared: str, site: str) -> None:
    other = next((mark for mark in (",", ";", "\t", "|") if mark != declared and mark in line), "")
    if other:
        raise CohortRefused(
            f"site {site}: the columns seem to be separated by {other!r}, the contract says "
            f"{declared!r}; amend the contract's delimiter"
        )


def _places(names: list[str], needed: Sequence[str], site: str) -> dict[str, int]:
    for name in needed:
        if name not in names:
            hint = nearest(name, names)
            raise CohortRefused(
                f"site {site}: column {name!r} is missing{hint}; the study needs it: export it, "
                "or mend its name"
            )
        if names.count(name) > 1:
            raise CohortRefused(
                f"site {site}: column {name!r} occurs {names.count(name)} times in the header; "
                "keep one"
            )
    return {name: names.index(name) for name in needed}


def _refuse_empty_keys(table: Table, cohort: TableCohort) -> None:
    if cohort.patient_key == "row":
        return
    missing = set(cohort.missing) | {""}
    cells = table.cells[cohort.patient_key]
    lines = [line for cell, line in zip(cells, table.lines, strict=True) if cell in missing]
    if lines:
        raise refuse(
            table.site,
            cohort.patient_key,
            "no patient key",
            lines,
            "every record needs its patient, or privacy by patient cannot be kept",
        )


def _settle_missing(table: Table, cohort: TableCohort, keep: Sequence[str]) -> Table:
    numbers = {c.name for c in cohort.features if isinstance(c, NumberColumn)}
    imputed = {c.name for c in cohort.features if c.impute is not None}
    lacking: set[int] = set()
    for name in (n for n in needed_columns(cohort, keep) if n not in imputed):
        cells = table.cells[name]
        missing = _missing_cells(cells, cohort.missing, as_numbers=name in numbers)
        places = [i for i, cell in enumerate(cells) if cell in missing]
        if places and cohort.on_missing == "refuse":
            raise refuse(
                table.site,
                name,
                "the cell is missing",
                [table.lines[i] for i in places],
                "fill it, or let the contract impute it or drop the row",
            )
        lacking.update(places)
    if not lacking:
        return table
    return table.select([i for i in range(len(table.rows)) if i not in lacking])


def _missing_cells(
    cells: Sequence[str], codes: Sequence[str], *, as_numbers: bool
) -> frozenset[str]:
    """Returns the spellings among a column's cells that mean missing."""
    found = set(cells)
    if not as_numbers:
        return frozenset(found & set(codes))
    numbers = {float(code) for code in codes if _NUMERAL.fullmatch(code)}
    same = {cell for cell in found if _NUMERAL.fullmatch(cell) and float(cell) in numbers}
    return frozenset((found & set(codes)) | same)


def _encode_feature(
    table: Table, column: NumberColumn | CategoryColumn, missing: Sequence[str]
) -> NDArray[np.float64]:
    if isinstance(column, NumberColumn):
        return _encode_number(table, column, missing)
    return _encode_category(table, column, frozenset(missing))


def _encode_number(table: Table, column: NumberColumn, codes: Sequence[str]) -> NDArray[np.float64]:
    low, high = column.range
    missing = _missing_cells(table.cells[column.name], codes, as_numbers=True)

    def read(cell: str) -> float | str:
        if cell in missing and column.impute is not None:
            return column.impute
        value = float(cell) if _NUMERAL.fullmatch(cell) else None
        if value is None and cell.lower().lstrip("+-") not in _INFINITE:
            return "text where a number was expected"
        if value is None or not math.isfinite(value):
            return "not a finite number"
        if column.outside == "clip":
            return min(max(value, low), high)
        return value if low <= value <= high else f"outside the range [{low:g}, {high:g}]"

    values = _read_cells(table, column.name, read, "mend the cell, or amend the contract")
    scaled: NDArray[np.float64] = ((values - column.centre) / column.scale)[:, None]
    return scaled


def _encode_category(
    table: Table, column: CategoryColumn, missing: frozenset[str]
) -> NDArray[np.float64]:
    place = {token: float(i) for i, token in enumerate(column.tokens)}
    imputed = None if column.impute is None else place[canonical_token(column.impute)]

    def read(cell: str) -> float | str:
        if cell in missing and imputed is not None:
            return imputed
        return place.get(canonical_token(cell), "a value outside the vocabulary")

    codes = _read_cells(table, column.name, read, f"it must be one of {_spelled(column.tokens)}")
    one_hot: NDArray[np.float64] = np.eye(len(place))[codes.astype(np.int64), 1:]
    return one_hot


def _encode_label(table: Table, cohort: TableCohort) -> NDArray[np.float32]:
    meaning = label_meaning(cohort)
    expected = f"it must be one of {_spelled(tuple(meaning))}"

    def read(cell: str) -> float | str:
        return meaning.get(canonical_token(cell), "a label outside the vocabulary")

    labels = _read_cells(table, str(cohort.label.column), read, expected)
    return labels.astype(np.float32)


def label_meaning(cohort: TableCohort) -> dict[str, float]:
    """Returns 1.0 or 0.0 for every spelling of the label that the contract knows."""
    return {
        **{canonical_token(value): 0.0 for value in cohort.label.negative},
        **{canonical_token(value): 1.0 for value in cohort.label.positive},
    }


def _read_cells(
    table: Table, name: str, read: Callable[[str], float | str], remedy: str
) -> NDArray[np.float64]:
    """Returns a column as numbers; ``read`` answers a number or what is wrong with the cell."""
    known: dict[str, float | str] = {}
    values = np.zeros(len(table.rows))
    problems: dict[str, list[int]] = {}
    for place, cell in enumerate(table.cells[name]):
        if cell not in known:
            known[cell] = read(cell)
        value = known[cell]
        if isinstance(value, str):
            problems.setdefault(value, []).append(table.lines[place])
        else:
            values[place] = value
    if problems:
        what, lines = min(problems.items(), key=lambda item: item[1][0])
        raise refuse(table.site, name, what, lines, remedy)
    return values


def _spelled(tokens: Sequence[str]) -> str:
    shown = ", ".join(tokens[:8])
    return shown if len(tokens) <= 8 else f"{shown} and {len(tokens) - 8} more"


def _tokens(cells: Sequence[str]) -> NDArray[np.str_]:
    known = {cell: canonical_token(cell) for cell in set(cells)}
    return np.array([known[cell] for cell in cells], dtype=np.str_)
