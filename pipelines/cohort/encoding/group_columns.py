"""Columns that groups of patients are told apart by, beside what the contract reads.

Rules:

1. A cell without a value keeps no record out and is no fault: its patient is in no group. So a
   study's records are the same with groups and without them.
2. A band is of the number that the contract means: in its unit, replaced, since another date. What
   stands for missing has none.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.encoding.table_dates import Elapsed
from pipelines.sources.cells import Cells
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.vocabulary import kept_token
from protocol.study.task.evaluation import Grouping

Tokens = NDArray[np.str_]


class GroupColumns:
    """The columns of some groupings in one table.

    Args:
        groupings: of the study, those that the hospital counts.
        cohort: the contract.
        keep: columns that are kept for another reason, and stay as they are.
    """

    def __init__(
        self, groupings: Collection[Grouping], cohort: TableCohort, keep: Sequence[str]
    ) -> None:
        named = [grouping.column for grouping in groupings]
        self.names = tuple(name for name in dict.fromkeys(named) if name not in keep)
        read = {*cohort.reads, cohort.patient_key}
        #: Those that nothing but groups looks at.
        self.alone = frozenset(self.names) - read
        self._banded = {grouping.column for grouping in groupings if grouping.edges is not None}
        self._numbers = {c.name for c in cohort.features if isinstance(c, NumberColumn)}

    def tokens(
        self,
        name: str,
        cells: Cells,
        lacking: Collection[str],
        values: Mapping[str, NDArray[np.float64]],
        elapsed: Mapping[str, Elapsed],
    ) -> Tokens:
        """Returns a column's cells as groups are told apart by them.

        Args:
            name: of the column.
            cells: of the kept records.
            lacking: the spellings that mean missing.
            values: the features' numbers, see ``read_cells``.
            elapsed: of the features that are counted from dates.
        """
        if name not in self._banded:
            return tokens_of(cells)
        missing = elapsed[name].missing if name in elapsed else cells.among(lacking)
        if name in self._numbers:
            found = np.array([repr(number) for number in values[name].tolist()], dtype=np.str_)
        else:
            found = tokens_of(cells)
        return np.where(missing, "", found)


def tokens_of(cells: Cells) -> Tokens:
    """Returns a column's cells, each in one spelling."""
    known = np.array([kept_token(text) for text in cells.spellings], dtype=np.str_)
    return known[cells.codes]
