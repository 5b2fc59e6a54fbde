"""Columns of a table that fit the contract and may still be wrong; each is a remark.

Rules:

1. What is said names columns and counts, never a value.
2. A column's spellings are looked at once each, however many rows there are.
"""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.inspection.other_units import other_unit
from pipelines.cohort.inspection.patient_keys import pairs_of_spellings
from pipelines.cohort.inspection.thresholds import FEW, MANY
from pipelines.records import patient_token
from pipelines.sources.cell_patterns import (
    has_two_date_orders,
    is_date,
    is_in_exponent_form,
    is_missing_number,
    is_missing_word,
)
from pipelines.sources.cells import Cells
from pipelines.sources.column_cells import conversions_of, missing_among
from pipelines.sources.faults import RecordFault
from pipelines.sources.faults.small_counts import few, part_of
from pipelines.sources.tables.table import SourceTable
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import CategoryColumn, NumberColumn
from protocol.study.cohort.labels import BinaryLabel, ClassLabel, DatedLabel
from protocol.study.cohort.units import UNCHANGED, Conversion
from protocol.study.cohort.vocabulary import NUMERAL, canonical_token

#: So many widths of the range above it a number is no measurement.
_FAR = 3


def column_remarks(table: SourceTable, cohort: TableCohort) -> Iterator[RecordFault]:
    """Yields what may be wrong with the columns of a table, its patient key among them."""
    labels = _label_numbers(table, cohort)
    conversions, _ = conversions_of(cohort.features, table.units)
    for column in cohort.features:
        if column.name not in table.cells:
            continue
        cells = table.cells[column.name]
        missing = _missing(cells, column, cohort)
        now = conversions.get(column.name, UNCHANGED)
        yield from _missing_codes(cells, column, missing, now)
        yield from _constant(cells, column.name, missing)
        if labels is not None:
            yield from _label_in(cells, column, missing, labels)
    for name, cells in table.cells.items():
        if name in cohort.dates:
            continue  # its cells are read as dates, and refused where they are in two orders
        dated = [text for text in cells.spellings if is_date(text)]
        if has_two_date_orders(dated):
            yield RecordFault(
                name="two-date-orders",
                column=name,
                what="some dates can only be day before month, and others only month before day",
                remedy="export dates as YYYY-MM-DD",
            )
    yield from _missing_labels(table, cohort)
    if cohort.patient_key != "row" and cohort.patient_key in table.cells:
        yield from _spellings(table.cells[cohort.patient_key], cohort.patient_key)
        yield from _of_one_key(table.cells[cohort.patient_key], cohort)


def _missing(
    cells: Cells, column: NumberColumn | CategoryColumn, cohort: TableCohort
) -> frozenset[str]:
    return missing_among(cells.spellings, set(cohort.missing), column)


def _missing_codes(
    cells: Cells,
    column: NumberColumn | CategoryColumn,
    missing: frozenset[str],
    now: Conversion,
) -> Iterator[RecordFault]:
    """Yields that a column's cells are missing in several ways, blank cells apart."""
    if isinstance(column, NumberColumn):
        known = {*missing, *column.replace}
        others = _number_codes(cells, known, column, now)
        other = other_unit(cells, column, missing, now) if others else None
        if other is not None:
            others &= _number_codes(cells, known, column, other.how)
        words = {t for t in set(cells.spellings) - known if t and is_missing_word(t)}
    else:
        others, tokens = set(), set(column.tokens)
        words = {
            text
            for text in set(cells.spellings) - set(missing)
            if text and is_missing_word(text) and canonical_token(text) not in tokens
        }
    ways = {_one_spelling(text) for text in {*missing, *others, *words} if text}
    if len(ways) > 1:
        count = int(cells.among({*missing, *others, *words}).sum())
        yield RecordFault(
            name="two-missing-codes",
            column=column.name,
            what=f"{few(count, 'cell')} missing, in {len(ways)} ways",
            remedy="do they mean the same (not measured, refused, unknown)? In the study list all "
            "of them under missing",
        )


def _number_codes(
    cells: Cells, known: Collection[str], column: NumberColumn, how: Conversion
) -> set[str]:
    """Returns the spellings of numbers that are codes: far above the range, or below zero in vain.

    A count of 9 where a range ends at 4 is a count; where it ends at 1 it is a code. ``how`` makes
    the column's unit of the one in which the numbers are read.
    """
    low, high = column.range
    least = 0.0 if low >= 0 else low - _FAR * (high - low)
    most = high + _FAR * (high - low)
    numerals = {text for text in set(cells.spellings) - set(known) if NUMERAL.fullmatch(text)}
    codes = {text for text in numerals if is_missing_number(float(text))}
    return {text for text in codes if not least <= how.of(float(text)) <= most}


def _one_spelling(text: str) -> str:
    return canonical_token(text).casefold()


def _constant(cells: Cells, name: str, missing: Collection[str]) -> Iterator[RecordFault]:
    values = {canonical_token(text) for text in cells.spellings if text not in missing}
    measured = len(cells) - int(cells.among(missing).sum())
    if len(values) == 1 and measured >= FEW:
        yield RecordFault(
            name="constant-column",
            column=name,
            what=f"all measured cells, {FEW} or more, hold one and the same value",
            remedy="is it so in the records? Else mend the export: a filter or a join may have "
            "taken the rest",
        )


def _label_numbers(table: SourceTable, cohort: TableCohort) -> NDArray[np.float64] | None:
    """Returns (records,) the class of each, NaN where there is none; None of other labels."""
    label = cohort.label
    if not isinstance(label, BinaryLabel | ClassLabel) or str(label.column) not in table.cells:
        return None
    cells = table.cells[str(label.column)]
    meaning: Mapping[str, float] = label.meaning
    classes = [meaning.get(canonical_token(text), np.nan) for text in cells.spellings]
    return np.array(classes, dtype=np.float64)[cells.codes] if classes else None


def _label_in(
    cells: Cells,
    column: NumberColumn | CategoryColumn,
    missing: Collection[str],
    labels: NDArray[np.float64],
) -> Iterator[RecordFault]:
    """Yields that a column alone tells the label of every record."""
    known = ~np.isnan(labels) & ~cells.among(missing)
    classes, counts = np.unique(labels[known], return_counts=True)
    if len(classes) < 2 or counts.min() < FEW:
        return
    if isinstance(column, NumberColumn):
        separates = _is_sorted_by_class(cells, known, labels, classes)
    else:
        codes = cells.codes[known]
        low = np.full(len(cells.spellings), np.inf)
        high = -low
        np.minimum.at(low, codes, labels[known])
        np.maximum.at(high, codes, labels[known])
        separates = bool((high <= low).all())
    if separates:
        yield RecordFault(
            name="label-in-a-column",
            column=column.name,
            what="it tells the label of every record in which it is measured, of each class "
            f"{FEW} or more",
            remedy="is it known before the outcome? Else the study must not read it",
        )


def _is_sorted_by_class(
    cells: Cells,
    known: NDArray[np.bool_],
    labels: NDArray[np.float64],
    classes: NDArray[np.float64],
) -> bool:
    """Whether the numbers of one class end where those of the next begin."""
    read = [float(text) if NUMERAL.fullmatch(text) else np.nan for text in cells.spellings]
    numbers = np.array(read)[cells.codes]
    known = known & ~np.isnan(numbers)
    ends = []
    for one in classes:
        own = numbers[known & (labels == one)]
        if not len(own):
            return False
        ends.append((own.min(), own.max()))
    ends.sort()
    return all(last < first for (_, last), (first, _) in zip(ends, ends[1:], strict=False))


def _missing_labels(table: SourceTable, cohort: TableCohort) -> Iterator[RecordFault]:
    if cohort.on_missing == "refuse" or isinstance(cohort.label, DatedLabel):
        return  # each of them is a fault, or a missing day of no event
    codes = set(cohort.missing)
    for name in cohort.label.columns:
        if name in table.cells:
            count = int(table.cells[name].among(codes).sum())
            if count > MANY * len(table.rows):
                yield RecordFault(
                    name="label-missing-for-many",
                    column=name,
                    what=f"{few(count, 'row')} without a label",
                    remedy="those without an outcome are often not like the others: mend the "
                    "export, or tell the study's author",
                )


def _of_one_key(cells: Cells, cohort: TableCohort) -> Iterator[RecordFault]:
    """Yields that one key holds a large part of the rows; keys that are refused apart."""
    keys = cells.respelled(patient_token)
    refused = [
        not key or key in cohort.missing or is_in_exponent_form(key) for key in keys.spellings
    ]
    counts = np.bincount(keys.codes, minlength=len(keys.spellings)) * ~np.array(refused, dtype=bool)
    most = int(counts.max(initial=0))
    if most >= FEW and most > max(MANY * len(cells), cohort.max_records_per_patient):
        yield RecordFault(
            name="key-of-many-rows",
            column=cohort.patient_key,
            what=f"one key holds {part_of(most, len(cells))} rows; the study takes "
            f"{cohort.max_records_per_patient} of each patient",
            remedy="is it one patient's (not a word for unknown, a test patient, or a key that "
            "was cut off)? Else export each patient's own key",
        )


def _spellings(cells: Cells, name: str) -> Iterator[RecordFault]:
    pairs = pairs_of_spellings(cells.spellings)
    if pairs:
        yield RecordFault(
            name="two-spellings-of-a-patient",
            column=name,
            what=f"{few(pairs, 'key')} may be another key in another spelling (capitals, blanks, "
            "dashes, leading zeros, umlauts)",
            remedy="write one spelling of each patient's key: who counts as two is protected half "
            "as well",
        )
