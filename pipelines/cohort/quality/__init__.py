"""The data quality report: what became of a hospital's rows and cells as they were encoded.

Rules:

1. It is the hospital's own: its people read it on their machine, and nothing of it
   is part of what a hospital sends.
2. It holds names of the contract and counts, never a value; where it is shown no count is from 1
   to 9, nor can one be computed from others (``small_counts``).
3. It is counted from what was noted while the records were encoded, and from the encoded records;
   no file is read a second time.
"""

from pipelines.cohort.quality.cell_counts import (
    ColumnCounts,
    FileCounts,
    column_counts,
    file_counts,
    number_columns,
    rows_of,
)
from pipelines.cohort.quality.class_counts import ClassCounts, groups_of
from pipelines.cohort.quality.image_counts import ImageCounts
from pipelines.cohort.quality.report import DataQuality, quality_of

__all__ = [
    "ClassCounts",
    "ColumnCounts",
    "DataQuality",
    "FileCounts",
    "ImageCounts",
    "column_counts",
    "file_counts",
    "groups_of",
    "number_columns",
    "quality_of",
    "rows_of",
]
