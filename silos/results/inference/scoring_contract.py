"""The contract by which records are read to be scored: a study's, without what training chooses by.

Columns, ranges, vocabularies, units and codes for missing cells are the study's. The label is not
read, and the window of time is not asked: both choose records to learn from.
"""

from dataclasses import replace

import numpy as np

from pipelines.sources.cells import Cells
from pipelines.sources.tables.table import SourceTable
from protocol.study.cohort.cohort import ImageCohort, TableCohort
from protocol.study.cohort.labels import BinaryLabel

#: No column of a file is called so. Its cells stand for the label where records are encoded.
_STAND_IN = "\x00"
_NO_LABEL = BinaryLabel(positive=("1",), negative=("0",))


def reading_contract(cohort: TableCohort) -> TableCohort:
    """Returns the contract by which a table is read: no label is looked for."""
    return cohort.model_copy(update={"label": _NO_LABEL, "window": None})


def encoding_contract(cohort: TableCohort) -> TableCohort:
    """Returns the contract by which a table that ``with_stand_in`` gave is encoded."""
    return reading_contract(cohort).model_copy(update={"label": _stand_in_label()})


def image_contract(cohort: ImageCohort) -> ImageCohort:
    """Returns the contract by which images and a table that ``with_stand_in`` gave are encoded."""
    return cohort.model_copy(update={"label": _stand_in_label()})


def listing_contract(cohort: ImageCohort) -> TableCohort:
    """Returns the contract by which the table that names images is read.

    It is no study's: one without a feature has its place here.
    """
    return TableCohort.model_construct(
        kind="table",
        patient_key=cohort.patient_key,
        label=_NO_LABEL,
        columns=cohort.columns,
        missing=cohort.missing,
    )


def with_stand_in(table: SourceTable) -> SourceTable:
    """Returns a table with a column in the label's place, of one value in every row."""
    count = len(table.rows)
    cells = Cells(("0",) if count else (), np.zeros(count, dtype=np.int32))
    return replace(table, cells={**table.cells, _STAND_IN: cells})


def _stand_in_label() -> BinaryLabel:
    return _NO_LABEL.model_copy(update={"column": _STAND_IN})
