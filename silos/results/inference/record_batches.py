"""Batches of encoded records: those that fit the contract, and why each of the others does not.

Rules:

1. A fault of one record keeps out that record; a fault of a whole column or file (a column that is
   missing, numbers in another unit) refuses all of it, before anything is scored.
2. Every record of the source is in exactly one batch, in the source's order, scored or refused.
3. A table is in memory as codes, four bytes for each cell; its numbers, and images, some at a time.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.encoding.table_encoding import encode_table
from pipelines.cohort.image_folders.folder import ImageFolder
from pipelines.records import EncodingNotes, Records
from pipelines.sources.faults import RecordFault, faults_of, refusal, refused
from pipelines.sources.source import RecordFile, Source
from pipelines.sources.tables.table import SourceTable
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import Cohort, ImageCohort, TableCohort
from silos.results.inference.scoring_contract import (
    encoding_contract,
    image_contract,
    listing_contract,
    reading_contract,
    with_stand_in,
)

#: Records whose numbers are in memory at once.
ROWS_AT_ONCE, IMAGES_AT_ONCE = 1 << 16, 64

#: A record's place in its source: the 1-based line of a file, or row of what was read otherwise.
Line = int
Encode = Callable[[SourceTable], Records]


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordBatch:
    """Some records of a source, in its order.

    Attributes:
        lines: of every record, also of those that do not fit.
        features: (fitting, ...) float32, as the network takes them.
        places: (fitting,) where each stands among ``lines``.
        patients: the key of each fitting record's patient.
        faults: by place, why a record does not fit.
        remarks: by place, what the contract did to a record that fits.
        refused_patients: by place, the patient's key of a record that does not fit, as it stands in
            the source; without those whose key could not be read.
    """

    lines: NDArray[np.int64]
    features: NDArray[np.float32]
    places: NDArray[np.int64]
    patients: tuple[str, ...]
    faults: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    remarks: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    refused_patients: Mapping[int, str] = field(default_factory=dict)


def batches_of_table(
    table: SourceTable, cohort: TableCohort, at_once: int = ROWS_AT_ONCE
) -> Iterator[RecordBatch]:
    """Yields the records of a table that was read by ``reading_contract``.

    Raises:
        CohortRefused: a fault that is of no single record.
    """
    contract = encoding_contract(cohort)
    key = cohort.patient_key
    yield from _batches(table, key, lambda part: encode_table(part, contract, keep=()), at_once)


def batches_of_images(
    folder: ImageFolder, cohort: ImageCohort, site: str, at_once: int = IMAGES_AT_ONCE
) -> Iterator[RecordBatch]:
    """Yields the records of a folder of images and the table that names them.

    Raises:
        CohortRefused: a fault that is of no single record.
    """
    key = () if cohort.patient_key == "row" else (cohort.patient_key,)
    names = [folder.image, *key]
    listed = folder.labels.table(listing_contract(cohort), site=site, keep=names)
    contract = image_contract(cohort)

    def encode(part: SourceTable) -> Records:
        chosen = replace(folder, labels=_TableRead(part), part=None)
        return chosen.images(contract, site=site, keep=())

    yield from _batches(listed, cohort.patient_key, encode, at_once)


def batches_of(
    source: Source, cohort: Cohort, site: str, at_once: int | None = None
) -> Iterator[RecordBatch]:
    """Yields the records of a file of a table, or of a folder of images, as the study reads them.

    Raises:
        CohortRefused: the source cannot be read, or is of another kind than the study's.
    """
    if isinstance(cohort, TableCohort):
        table = source.table(reading_contract(cohort), site=site, keep=())
        yield from batches_of_table(table, cohort, at_once or ROWS_AT_ONCE)
    elif isinstance(source, ImageFolder):
        yield from batches_of_images(source, cohort, site, at_once or IMAGES_AT_ONCE)
    else:
        raise CohortRefused(
            f"site {site}: the study reads images: name the folder that holds them, with a table "
            "that names each record's image"
        )


def source_at(records: Path, cohort: Cohort, table: Path | None, like: Source | None) -> Source:
    """Returns what reads the records that a person named.

    Args:
        records: a file of a table; or, of a study of images, their folder.
        cohort: the study's.
        table: the table that names a folder's images.
        like: the hospital's own source, whose statements about how files are written count here
            too; None where there is none.
    """
    if isinstance(cohort, TableCohort):
        return (
            replace(like, path=records)
            if isinstance(like, RecordFile)
            else RecordFile(path=records)
        )
    own = like if isinstance(like, ImageFolder) else None
    if not records.is_dir():
        return RecordFile(path=records)  # refused by ``batches_of``, with the reason
    named = table or records / "records.csv"
    if own is None:
        return ImageFolder(folder=records, labels=RecordFile(path=named))
    labels = (
        replace(own.labels, path=named)
        if isinstance(own.labels, RecordFile)
        else (RecordFile(path=named))
    )
    return replace(own, folder=records, labels=labels)


@dataclass(frozen=True)
class _TableRead:
    """A source of lines that were read already, with what stands for their labels."""

    lines: SourceTable

    def table(self, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
        """Returns the lines."""
        return self.lines

    def images(self, cohort: ImageCohort, *, site: str, keep: Sequence[str]) -> Records:
        """Refuses: lines are no images."""
        raise CohortRefused(f"site {site}: a table holds no images")


def _batches(table: SourceTable, key: str, encode: Encode, at_once: int) -> Iterator[RecordBatch]:
    """Yields a table's records in batches, each encoded without those that do not fit."""
    whole = [fault for fault in table.faults if not fault.lines]
    if whole:
        raise refusal(table.site, table.file, whole)
    if not len(table.rows) and not table.faults:
        raise refused(table.site, "no-rows", "no records", "check the file", file=table.file)
    unread: dict[Line, list[str]] = {}
    _note(unread, table.faults)
    table = replace(table, faults=())
    apart = np.setdiff1d(np.array(sorted(unread), dtype=np.int64), table.lines)
    lines = np.sort(np.concatenate([table.lines, apart]))
    for begin in range(0, len(lines), at_once):
        some = lines[begin : begin + at_once]
        fit = np.isin(table.lines, some) & ~np.isin(table.lines, list(unread))
        batch = _batch(some, table.take(fit), encode, unread)
        yield replace(batch, refused_patients=_refused_patients(table, key, batch))


def _refused_patients(table: SourceTable, key: str, batch: RecordBatch) -> dict[int, str]:
    """Returns by place the patient's key of each record that does not fit, where it has one."""
    if key not in table.cells or not batch.faults:
        return {}
    places = {int(batch.lines[place]): place for place in batch.faults}
    own = table.take(np.isin(table.lines, list(places)))
    keys = zip(own.lines.tolist(), own.cells[key], strict=True)
    return {places[line]: patient for line, patient in keys if patient}


def _batch(
    lines: NDArray[np.int64],
    table: SourceTable,
    encode: Encode,
    unread: Mapping[Line, Sequence[str]],
) -> RecordBatch:
    place = {line: number for number, line in enumerate(lines.tolist())}
    faults = {line: list(said) for line, said in unread.items() if line in place}
    records = _fitting(with_stand_in(table), encode, faults)
    of_row = dict(zip(table.rows.tolist(), table.lines.tolist(), strict=True))
    if records is None:
        found = np.zeros(0, dtype=np.int64)
        features, patients = np.zeros((0, 0), dtype=np.float32), ()
        remarks: dict[int, tuple[str, ...]] = {}
    else:
        order = np.argsort(records.rows, kind="stable")
        found = np.array([place[of_row[row]] for row in records.rows[order].tolist()], np.int64)
        features = np.asarray(records.features[order], dtype=np.float32)
        keys = records.patient_keys
        patients = tuple(keys[patient] for patient in records.patients[order].tolist())
        remarks = _remarks(records, {row: place[line] for row, line in of_row.items()})
        _note_left_out(records, of_row, faults)
    return RecordBatch(
        lines=lines,
        features=features,
        places=found,
        patients=patients,
        faults={place[line]: tuple(said) for line, said in sorted(faults.items())},
        remarks=remarks,
    )


def _fitting(table: SourceTable, encode: Encode, faults: dict[Line, list[str]]) -> Records | None:
    """Returns the records that fit, adding to ``faults`` why others do not; None if none fits."""
    while len(table.rows):
        try:
            return encode(table)
        except CohortRefused as error:
            found = faults_of(error)
            if not found or any(not fault.lines for fault in found):
                raise
            _note(faults, found)
            kept = ~np.isin(table.lines, [line for fault in found for line in fault.lines])
            if kept.all():
                raise
            table = table.take(kept)
    return None


def _note(faults: dict[Line, list[str]], found: Collection[RecordFault]) -> None:
    for fault in found:
        column = "" if fault.column is None else f"{fault.column}: "
        for line in fault.lines:
            faults.setdefault(line, []).append(f"{column}{fault.what} [{fault.name}]")


def _note_left_out(
    records: Records, of_row: Mapping[int, Line], faults: dict[Line, list[str]]
) -> None:
    """Adds the records that the contract leaves out for what they lack (``drop_row``)."""
    left = {row for row, line in of_row.items() if line not in faults} - {*records.rows.tolist()}
    for column, rows in records.noted.missing.items():
        for row in sorted(left.intersection(rows.tolist())):
            said = f"{column}: the cell is missing [missing-cell]"
            faults.setdefault(of_row[row], []).append(said)
    for row in left:
        faults.setdefault(of_row[row], ["the study's contract leaves the record out [records]"])


def _remarks(records: Records, places: Mapping[int, int]) -> dict[int, tuple[str, ...]]:
    """Returns what the contract did to the cells of records that fit, by place."""
    noted: EncodingNotes = records.noted
    kept, found = {*records.rows.tolist()}, dict[int, list[str]]()
    for said, of_columns in (
        ("imputed", noted.missing),
        ("replaced", noted.replaced),
        ("converted", noted.converted),
        ("clipped", noted.clipped),
        ("time of day cut off", noted.cut),
        ("date completed", noted.completed),
    ):
        for column, rows in of_columns.items():
            for row in kept.intersection(rows.tolist()):
                found.setdefault(places[row], []).append(f"{column} {said}")
    return {place: tuple(said) for place, said in sorted(found.items())}
