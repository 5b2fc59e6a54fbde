"""Notes of a table's encoding: the rows that were left out, imputed, clipped or converted."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.encoding.chosen_records import ChosenRecords
from pipelines.cohort.encoding.table_dates import DateReadings
from pipelines.cohort.inspection.other_units import OtherUnit
from pipelines.records import EncodingNotes
from pipelines.sources.column_cells import notes_of, rows_with
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import ElapsedColumn
from protocol.study.cohort.labels import DatedLabel
from protocol.study.cohort.units import Conversion


def table_notes(
    chosen: ChosenRecords,
    cohort: TableCohort,
    readings: DateReadings,
    conversions: Mapping[str, Conversion],
    others: Mapping[str, OtherUnit],
) -> EncodingNotes:
    """Returns what became of which rows, of a table that fits the contract.

    Args:
        chosen: its records.
        cohort: the contract.
        readings: of its columns of dates.
        conversions: of the columns whose numbers are in another unit.
        others: of the columns whose numbers seem to be in another unit, what shows it.
    """
    whole, kept, lacking = chosen.in_window, chosen.kept, chosen.lacking
    features = [column for column in cohort.features if not isinstance(column, ElapsedColumn)]
    cells = notes_of(kept.cells, kept.rows, features, lacking, conversions)
    by_source = {n: rows[np.isin(rows, kept.rows)] for n, rows in kept.converted.items()}
    missing: dict[str, NDArray[np.int64]] = {}
    for name, codes in lacking.items():
        missing |= rows_with(whole.cells, whole.rows, name, codes)
    notes = EncodingNotes(
        read=len(chosen.source.rows),
        missing=missing,
        replaced=cells.replaced,
        converted={**by_source, **cells.converted},
        other_units={
            name: (other.name, other.what, other.remedy) for name, other in others.items()
        },
        clipped=cells.clipped,
        single_clipped_value=cells.single_clipped_value,
        repeated=whole.repeated,
        has_order=whole.has_order,
        source=whole.notes,
    )
    return _with_dates(notes, chosen, readings, cohort) if cohort.dates else notes


def _with_dates(
    noted: EncodingNotes, chosen: ChosenRecords, readings: DateReadings, cohort: TableCohort
) -> EncodingNotes:
    """Returns the notes with what became of dates."""
    whole, kept = readings.at(chosen.in_window), readings.at(chosen.kept)
    missing, clipped = dict(noted.missing), dict(noted.clipped)
    for column in cohort.features:
        if isinstance(column, ElapsedColumn):
            lacking = chosen.in_window.rows[whole.elapsed(column).missing]
            outside = chosen.kept.rows[kept.elapsed(column).outside]
            missing |= {column.name: lacking} if len(lacking) else {}
            clipped |= {column.name: outside} if len(outside) else {}
    before = np.zeros(0, dtype=np.int64)
    if isinstance(cohort.label, DatedLabel) and kept.outcomes is not None:
        missing.pop(cohort.label.event_date, None)  # no event, which is no missing cell
        before = chosen.kept.rows[kept.outcomes.before_index]
    of_dates = kept.notes()
    inside = np.isin(chosen.source.rows, chosen.in_window.rows)
    return replace(
        noted,
        missing=missing,
        clipped=clipped,
        cut=of_dates["cut"],
        completed=of_dates["completed"],
        outside_window=chosen.source.rows[~inside],
        unobserved=chosen.unobserved,
        before_index=before,
    )
