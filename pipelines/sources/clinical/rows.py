"""Rows of clinical records: one for each person or index event, by patient and day."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.records import SourceNote
from pipelines.sources.cells import Cells
from pipelines.sources.clinical.records import ClinicalRecords
from pipelines.sources.clinical.row_cells import ClinicalRows, RowCells, within_life
from pipelines.sources.clinical.tally import Reason
from pipelines.sources.clinical.wanted import DAY_ZERO, DEATHS
from pipelines.sources.faults import RecordFault
from pipelines.sources.faults.small_counts import Sum, in_words, shown, shown_part
from pipelines.sources.tables.table import SourceTable, needed_columns
from protocol.study.cohort.cohort import TableCohort


def table_of(
    records: ClinicalRecords, cohort: TableCohort, *, site: str, file: str, keep: Sequence[str]
) -> SourceTable:
    """Returns the table that a contract makes of a hospital's clinical records."""
    rows = _rows(records, cohort)
    making = RowCells(records=records, cohort=cohort, rows=rows, tally=records.tally)
    cells: dict[str, Cells] = {}
    faults = list(records.tally.faults)
    for name in needed_columns(cohort, keep):
        meaning = cohort.clinical_meanings.get(name)
        if name == cohort.patient_key:
            cells[name] = Cells.of(records.persons.keys[person] for person in rows.person.tolist())
        elif meaning is not None:
            cells[name] = making.cells(name, meaning)
        else:
            faults.append(
                RecordFault(
                    name="no-clinical-meaning",
                    column=name,
                    what="the study does not say what it is made of",
                    remedy="clinical records have no such column: ask for split: {method: "
                    "keyed_hash}, or for its clinical meaning",
                )
            )
    count = len(rows.person)
    return SourceTable(
        site=site,
        file=file,
        cells=cells,
        lines=np.arange(1, count + 1),
        rows=np.arange(count),
        repeated=np.array([], dtype=np.int64),
        faults=tuple(faults),
        converted=making.converted,
        notes=(_persons_note(records, rows, cohort), *_empty_notes(records), *records.tally.notes),
    )


def _persons_note(records: ClinicalRecords, rows: ClinicalRows, cohort: TableCohort) -> SourceNote:
    persons, chosen = len(records.persons), np.unique(rows.person)
    counts = {"source": persons, "cohort": len(chosen), "none": persons - len(chosen)}
    sums: list[Sum] = [("source", ("cohort", "none"))]
    if len(rows.person) == len(chosen):
        counts["rows"] = len(chosen)
        sums.append(("rows", ("cohort",)))
    told = shown(counts | {"rows": len(rows.person)}, sums, first=frozenset({"source"}))
    words = {name: in_words(count) for name, count in told.items()}
    found = f"{words['source']} in the source, {words['cohort']} of them in the cohort, with "
    found += f"{words['rows']} rows"
    if persons > len(chosen):
        found += f"; {words['none']} have no event that the study begins with"
    names = {column.name for column in cohort.features}
    asked = [events.person for name, events in records.events.items() if name in names]
    bare = len(np.setdiff1d(chosen, np.concatenate(asked))) if asked else 0
    if bare:
        without = in_words(shown_part(bare, len(chosen)))
        found += f"; {without} of the cohort have no record for any feature"
    return SourceNote(what="persons", found=found)


def _empty_notes(records: ClinicalRecords) -> Iterator[SourceNote]:
    """Yields the columns for which the whole source has no record."""
    for name, events in records.events.items():
        if not len(events) and name != DEATHS:
            yield SourceNote(
                name="nothing-for-a-column",
                what=f"column {name!r}" if name else "day 0",
                found="no record of the source is what the study asks for",
                remedy="compare the study's concepts and codes with those of the records",
            )


def _order(keys: Sequence[str]) -> NDArray[np.int64]:
    """Returns each person's place in the order of their keys: whole numbers by size."""
    order = sorted(range(len(keys)), key=lambda place: (len(keys[place]), keys[place]))
    places = np.empty(len(keys), dtype=np.int64)
    places[order] = np.arange(len(keys))
    return places


def _rows(records: ClinicalRecords, cohort: TableCohort) -> ClinicalRows:
    order = _order(records.persons.keys)
    if cohort.index is None:
        everyone = np.argsort(order)
        return ClinicalRows(person=everyone, day=None)
    begins = within_life(records, records.events[DAY_ZERO], None, records.tally)
    known = begins.first == begins.last
    records.tally.leave_out(_INDEX_IN_PART, int((~known).sum()))
    begins = begins.take(known)
    pairs = np.unique(np.stack([order[begins.person], begins.first], axis=1), axis=0)
    new = np.r_[True, pairs[1:, 0] != pairs[:-1, 0]][: len(pairs)]
    if cohort.index.take == "first":
        pairs = pairs[new]
    elif cohort.index.take == "last":
        pairs = pairs[np.r_[new[1:], True][: len(pairs)]]
    return ClinicalRows(
        person=np.argsort(order)[pairs[:, 0]],
        day=pairs[:, 1].astype(np.int64),
    )


_INDEX_IN_PART = Reason(
    what="events that the study begins with have no whole date",
    remedy="write the day; a person without another such event is not in the cohort",
)
