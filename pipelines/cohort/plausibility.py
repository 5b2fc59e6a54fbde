"""Faults of a whole cohort that every single cell hides: wrong units, doubled rows, a key per stay.

Rules:

1. What is said names columns, ranges of the contract and counts, never a value.
2. Most numbers of a column outside its range are a wrong unit, and most rows
   written twice are a file joined to itself: checks and simulations refuse both. Less
   is a remark, and for rows dropped, or one column's cells clipped or imputed, only
   above a few per cent.
3. With ``patient_key: row`` two patients may be alike, so equal rows are a remark.
4. No hospital stays out of a run for any of it. A study's author chooses its
   ranges, so that would be an answer about its records: ``silo check`` tells the
   hospital's people, who then do not approve.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipelines.cohort.inspection.thresholds import FEW, MANY, MOST
from pipelines.cohort.quality import (
    ColumnCounts,
    FileCounts,
    column_counts,
    file_counts,
    number_columns,
    rows_of,
)
from pipelines.records import Records, patient_token
from pipelines.sources.faults import RecordFault, refusal
from pipelines.sources.faults.small_counts import FEWER, is_small, part_of, share_of, told
from pipelines.sources.tables.table import SourceTable
from protocol.counted import counted
from protocol.study.cohort.cohort import Cohort, TableCohort

#: So many equal numbers outside the range are taken for a code, not for measured values.
_SOME = 3
#: More columns than these are counted, not named.
_MAX_NAMED = 8


def repeated_rows(*parts: Records) -> int:
    """Returns how many rows stand in the file more than once, equal in every cell."""
    return int(np.isin(rows_of(parts), parts[0].noted.repeated).sum())


def some_patient_returns(records: Records) -> bool:
    """Returns whether any patient has a second record."""
    return records.num_patients < len(records)


def implausible(*parts: Records, cohort: Cohort) -> list[RecordFault]:
    """Returns what shows that most of the records are in another unit, or written twice.

    Every such column and its range, and the count of equal rows; of records that can be
    right, nothing.
    """
    others = parts[0].noted.other_units
    found = [
        RecordFault(
            name="wrong-unit",
            column=column.name,
            what=others[column.name][1] if column.name in others else _clipped_text(column, cohort),
            remedy=others[column.name][2]
            if column.name in others
            else "are they in the study's unit? Convert the column, or ask for a wider range",
        )
        for column in column_counts(*parts, cohort=cohort)
        if column.measured >= FEW and column.share_clipped > MOST
    ]
    rows, repeated = sum(len(part) for part in parts), repeated_rows(*parts)
    if cohort.patient_key != "row" and rows >= FEW and repeated > MOST * rows:
        what = _repeated_text(repeated, rows)
        found.append(RecordFault(name="doubled-rows", what=what, remedy=_WRITE_ONCE))
    return found


def require_plausible(*parts: Records, cohort: Cohort, site: str) -> None:
    """Refuses records of which most are in another unit, or written twice.

    Raises:
        CohortRefused: what ``implausible`` finds.
    """
    found = implausible(*parts, cohort=cohort)
    if found:
        raise refusal(site, "", found)


def remarks(records: Records, cohort: Cohort) -> Iterator[RecordFault]:
    """Yields what may be wrong with one hospital's records, though it is not refused."""
    yield from _dropped(records, cohort)
    columns = column_counts(records, cohort=cohort)
    for column in columns:
        name, what, remedy = records.noted.other_units.get(column.name, ("", "", ""))
        if name == "some-in-another-unit" and MANY <= column.share_clipped <= MOST:
            yield RecordFault(name=name, column=column.name, what=what, remedy=remedy)
        elif column.single_clipped_value and column.clipped >= _SOME:
            yield RecordFault(
                name="one-number-clipped",
                column=column.name,
                what=f"{_clipped_text(column, cohort)}, all one and the same number",
                remedy="if it is a code for missing, in the study write it under missing, and "
                "impute: VALUE for the column",
            )
        elif column.share_clipped > MANY:
            yield RecordFault(
                name="many-clipped",
                column=column.name,
                what=_clipped_text(column, cohort)
                + share_of(column.clipped, column.shown_measured),
                remedy="compare the column's unit and its codes for missing with the study's",
            )
    imputed = [column for column in columns if column.share_imputed > MANY]
    if imputed:
        yield RecordFault(
            name="many-imputed",
            what=f"many cells are missing and imputed: {_listed(imputed)}",
            remedy="is it so in the records? Else mend the export",
        )
    repeated = repeated_rows(records)
    if repeated:
        is_row = cohort.patient_key == "row"
        yield RecordFault(
            name="rows-counted-as-persons" if is_row else "repeated-rows",
            what=_repeated_text(repeated, len(records)),
            remedy=_ONE_PATIENT if is_row else _WRITE_ONCE,
        )
    yield from _scans(records)


def _scans(records: Records) -> Iterator[RecordFault]:
    """Yields remarks about images with headers; counts below ten are not told."""
    noted, count = records.noted.scans, records.noted.read
    if noted is None:
        return
    if 0 < noted.studies < count:
        yield RecordFault(
            name="series-counted-as-studies",
            what=f"{told(count)} images are of {told(noted.studies)} studies and "
            f"{told(records.num_patients)} patients: series are counted as studies",
            remedy="write one line for each study, or ask for a study whose image.series says "
            "which series is the image",
        )
    if noted.unnamed:
        yield RecordFault(
            name="images-without-a-line",
            what=f"{told(noted.unnamed)} files, series or accessions of the folder are in no line",
            remedy="add their lines (images without a label, masks without an image), or move them",
        )
    if noted.narrow > MANY * count:
        yield RecordFault(
            name="narrow-intensities",
            what=f"{told(noted.narrow)} of {told(count)} images take less than a tenth of the "
            "study's range",
            remedy="are they in the study's unit (CT in Hounsfield units, not windowed to 0..255)?",
        )
    if noted.written_on:
        yield RecordFault(
            name="burned-in-text",
            what=f"words may stand in the pixels of {told(noted.written_on)} images",
            remedy="look at each of them: burned_in: allowed says that you did",
        )


def _dropped(records: Records, cohort: Cohort) -> Iterator[RecordFault]:
    """Yields a remark where many rows of a hospital's own file (no shared one) were dropped."""
    file = file_counts(records.noted, cohort)
    elsewhere = len(records.noted.outside_window) + len(records.noted.unobserved)
    if file.dropped > MANY * file.rows and len(records) == file.rows - elsewhere - file.dropped:
        yield RecordFault(
            name="many-dropped",
            what=f"{_dropped_text(file)} for what is missing in {_named(file.dropped_for)}",
            remedy="mend the export, if the records have it; impute: VALUE for a column keeps its "
            "rows",
        )


def _dropped_text(file: FileCounts) -> str:
    """Returns how many rows are dropped; of how many only where neither part is small."""
    if is_small(file.dropped):
        return f"{FEWER} rows are dropped"
    share = share_of(file.dropped, file.rows)
    return f"{part_of(file.dropped, file.rows)} rows are dropped{share}"


def _named(counts: Mapping[str, int]) -> str:
    most = sorted(counts, key=lambda name: -counts[name])
    return _bounded(
        [f"{name} {FEWER if is_small(counts[name]) else counts[name]}" for name in most]
    )


def _bounded(named: Sequence[str]) -> str:
    more = len(named) - _MAX_NAMED
    return ", ".join(named[:_MAX_NAMED]) + (
        f" and {counted(more, 'more column')}" if more > 0 else ""
    )


def nobody_returns(records: Records, cohort: Cohort) -> RecordFault | None:
    """Returns the remark that no patient has a second record where the study has room for more."""
    if cohort.patient_key == "row" or cohort.max_records_per_patient < 2:
        return None
    if not len(records) or some_patient_returns(records):
        return None
    return _row_per_stay(cohort)


def nobody_returns_in(table: SourceTable, cohort: TableCohort) -> RecordFault | None:
    """Returns the same remark of a table that does not fit the contract, if every line was read."""
    if cohort.patient_key not in table.cells or cohort.max_records_per_patient < 2:
        return None
    keys = set(map(patient_token, table.cells[cohort.patient_key].spellings))
    is_whole = table.rows_left_out == 0 and 0 < len(table.rows) == len(keys)
    return _row_per_stay(cohort) if is_whole and cohort.patient_key != "row" else None


def _row_per_stay(cohort: Cohort) -> RecordFault:
    return RecordFault(
        name="row-per-stay",
        what="no patient has a second record; the study has room for "
        f"{cohort.max_records_per_patient} of each",
        remedy=f"if column {cohort.patient_key!r} is a key per stay, put the patient's own key "
        "there: privacy by patient cannot be kept otherwise",
    )


def far_fewer_than_declared(train: Records, declared: int) -> RecordFault | None:
    """Returns the remark that a study declares more than twice the training patients there are."""
    if 2 * train.num_patients >= declared:
        return None
    return RecordFault(
        name="fewer-patients-than-declared",
        what=f"fewer training patients than half of what the study declares, {declared}",
        remedy="the hospital's part is divided by the declared number: ask for a round number "
        "nearer to the truth",
    )


def _clipped_text(column: ColumnCounts, cohort: Cohort) -> str:
    many = part_of(column.clipped, column.shown_measured)
    if column.clipped == column.measured:
        many = "all its" if is_small(column.imputed) else many
    low, high = number_columns(cohort)[column.name].range
    return f"{many} numbers lie outside the range [{low:g}, {high:g}] and are clipped to it"


def _listed(columns: Sequence[ColumnCounts]) -> str:
    most = sorted(columns, key=lambda column: -column.share_imputed)
    return _bounded([f"{c.name}{_percent(c)}" for c in most])


def _percent(column: ColumnCounts) -> str:
    rest = column.records - column.imputed
    return "" if is_small(column.imputed) or is_small(rest) else f" {column.share_imputed:.0%}"


_ONE_PATIENT = (
    "if two of them are one patient's, write one: every row counts as a patient, and one written "
    "twice is protected half as well"
)
_WRITE_ONCE = (
    "write each record once; where they are records of their own, add a column that tells them "
    "apart (a date, a stay's number), which the study does not read"
)


def _repeated_text(repeated: int, rows: int) -> str:
    return f"{part_of(repeated, rows)} rows are equal to another row in every cell"
