"""Images in a folder with a table of labels: a source, whose table is read as any table is.

Rules:

1. The table names for each record its image, its mask where the label is one, its part, its
   patient, label and columns; ``table_encoding`` reads them, so a label or column means the same
   as in a study of tables.
2. One image is in memory at a time. Every line's header is looked at, and every fault told, before
   the records are given out; where a header is refused, no more pixels are read.
3. A fault names lines of the table, never a file, a cell or what a header holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.encoding.table_encoding import encode_table
from pipelines.cohort.image_folders.line_reader import LineReader
from pipelines.cohort.image_folders.listing import FoundBy, listing_of
from pipelines.records import Records
from pipelines.sources.cells import Cells
from pipelines.sources.description import SourceDescription, described
from pipelines.sources.faults import RecordFault, reason_of, refusal, refused
from pipelines.sources.images.prepared_images import PreparedImages
from pipelines.sources.images.scans.scan import ScanFault
from pipelines.sources.source import Source
from pipelines.sources.tables.table import SourceTable
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import ImageCohort, TableCohort
from protocol.study.cohort.labels import BinaryLabel, FindingsLabel, Label, MaskLabel
from protocol.study.cohort.vocabulary import canonical_token

#: The column of labels of a study that names none, as the array of an npz is called.
LABELS = "labels"
#: Stands for the label where that is a mask, which no cell holds.
_NO_LABEL = BinaryLabel(column="\x00", positive=("1",), negative=("0",))


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Images that a table names, in a folder.

    Attributes:
        folder: where images and masks lie.
        labels: reads the table.
        image: its column that names each record's image.
        by: what that column holds.
        part: its column of parts; None where the study needs none.
        header_patient: whether the number of the patient in DICOM headers is the table's
            (``same``), or ``other``, as where the table has pseudonyms.
        burned_in: what becomes of images in whose pixels words may stand.
    """

    folder: Path
    labels: Source
    image: str = "image"
    by: FoundBy = "file"
    part: str | None = None
    header_patient: Literal["same", "other"] = "same"
    burned_in: Literal["refuse", "allowed"] = "refuse"

    def table(self, cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
        """Refuses: a study of tables reads no images."""
        raise CohortRefused(
            f"site {site}: the study reads a table, and the site file names images: write "
            "data: {kind: file, path: ...}"
        )

    def images(self, cohort: ImageCohort, *, site: str, keep: Sequence[str]) -> Records:
        """Returns the images that the table names, in the order of the parts, see ``Source``."""
        table = self._lines(cohort, site, keep)
        encoded = encode_table(table, _table_contract(cohort), keep=keep)
        # In the order of the lines, as images of an npz stand in the order of that.
        encoded = encoded.take(np.argsort(encoded.rows)[_ranks(table.rows)])
        numbers = encoded.features[:] if cohort.columns else None
        try:
            listing = listing_of(self.folder, self.by)
        except ScanFault as fault:
            raise refused(site, fault.name, fault.what, fault.remedy) from None
        except OSError as error:
            raise CohortRefused(
                f"site {site}: data.folder cannot be read: {reason_of(error)}"
            ) from None
        reader = LineReader(self, listing, cohort, table, encoded)
        with PreparedImages(len(encoded), cohort, numbers, site=site) as prepared:
            for place in range(len(encoded)):
                reader.read(place, prepared)
            faults = reader.faults()
            if faults:
                raise refusal(site, table.file, faults)
            features, masks = prepared.rows()
        return replace(
            encoded,
            features=features,
            labels=encoded.labels if masks is None else masks,
            noted=replace(encoded.noted, sides=reader.sides, scans=reader.notes()),
        )

    def describe(self) -> SourceDescription:
        """Returns the description of the table; of the images the cohort's digest has every voxel.

        Raises:
            CohortRefused: it cannot be read.
        """
        return replace(described(self.labels), kind="images")

    def _lines(self, cohort: ImageCohort, site: str, keep: Sequence[str]) -> SourceTable:
        """Returns the table's lines that are of the study's parts, in the order of these."""
        if "part" in keep and self.part is None:
            raise CohortRefused(
                f"site {site}: the study splits by part: name the table's column that holds each "
                "record's part: data: {kind: images, ..., part: COLUMN}"
            )
        own = [name for name in keep if name != "part"]
        names = [self.image, *([self.part] if self.part else []), *own]
        if isinstance(cohort.label, MaskLabel):
            names.append(cohort.label.mask)
        if cohort.patient_key != "row":
            names.append(cohort.patient_key)
        table = self.labels.table(_table_contract(cohort, read=True), site=site, keep=names)
        absent = [fault for fault in table.faults if fault.column in names]
        if absent:
            raise refusal(site, table.file, [self._mended(fault) for fault in table.faults])
        cells = dict(table.cells)
        if isinstance(cohort.label, MaskLabel):
            count = len(table.rows)
            cells[str(_NO_LABEL.column)] = Cells(
                ("0",) if count else (), np.zeros(count, dtype=np.int32)
            )
        if self.part is not None:
            cells["part"] = table.cells[self.part]
            table = _in_order(replace(table, cells=cells), cohort, self.part, site)
        else:
            table = replace(table, cells=cells)
        return table

    def _mended(self, fault: RecordFault) -> RecordFault:
        """Returns the fault; of a column that the site file names with a remedy for that file."""
        keys = {self.image: "image", self.part: "part"}
        if fault.name != "missing-column" or fault.column not in keys:
            return fault
        key = keys[fault.column]
        holds = "names each image" if key == "image" else "holds each record's part"
        return replace(
            fault,
            remedy=f"write {key}: COLUMN under data in the site file, the column that {holds}",
        )


def _table_contract(cohort: ImageCohort, *, read: bool = False) -> TableCohort:
    """Returns the contract by which the table is read, or encoded.

    It is no study's: one without a feature, which no study of tables is, has its place here.
    """
    label: Label = cohort.label
    if isinstance(label, MaskLabel):
        label = label.model_copy(update={"column": None}) if read else _NO_LABEL
    elif isinstance(label, FindingsLabel):
        label = label.model_copy(
            update={
                "findings": {
                    title: each if each.column else each.model_copy(update={"column": title})
                    for title, each in label.findings.items()
                }
            }
        )
    elif label.column is None:
        label = label.model_copy(update={"column": LABELS})
    return TableCohort.model_construct(
        kind="table",
        patient_key=cohort.patient_key,
        label=label,
        columns=cohort.columns,
        missing=cohort.missing,
    )


def _in_order(table: SourceTable, cohort: ImageCohort, column: str, site: str) -> SourceTable:
    parts = {canonical_token(part): place for place, part in enumerate(cohort.parts)}
    cells = table.cells[column]
    numbers = np.array([parts.get(canonical_token(cell), -1) for cell in cells.spellings])
    of_each = numbers[cells.codes] if len(cells) else np.zeros(0, dtype=np.int64)
    outside = np.flatnonzero(of_each < 0)
    if len(outside):
        fault = RecordFault(
            name="unknown-part",
            column=column,
            lines=table.lines[outside].tolist(),
            what="a part that the study does not name",
            remedy=f"it must be one of {', '.join(cohort.parts)}; take other lines out",
        )
        raise refusal(site, table.file, [*table.faults, fault])
    order = np.argsort(of_each, kind="stable")
    return replace(
        table,
        cells={name: each.take(order) for name, each in table.cells.items()},
        lines=table.lines[order],
        rows=table.rows[order],
    )


def _ranks(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns how many of the rows stand before each in their source."""
    ranks = np.empty(len(rows), dtype=np.int64)
    ranks[np.argsort(rows)] = np.arange(len(rows))
    return ranks
