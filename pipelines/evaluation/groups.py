"""Groups of patients: in which group of each grouping of a study a patient is.

A patient is in the group of its first record, and in none where that cell is missing, is no
number, or means no group.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Records
from protocol.study.cohort.vocabulary import NUMERAL, canonical_token
from protocol.study.task.evaluation import Grouping

Places = NDArray[np.int64]

#: Stands for no group.
NO_GROUP = -1


def groups_of_patients(records: Records, groupings: Collection[Grouping]) -> Places:
    """Returns (patients, groupings) places of groups, ``NO_GROUP`` for none.

    Args:
        records: with the groupings' columns (``pipelines.cohort.loading.load_cohort``).
        groupings: of the study.
    """
    _, first = np.unique(records.patients, return_index=True)
    places = np.full((records.num_patients, len(groupings)), NO_GROUP, dtype=np.int64)
    for at, grouping in enumerate(groupings):
        cells, which = np.unique(records.columns[grouping.column][first], return_inverse=True)
        known = [_place(str(cell), grouping) for cell in cells]
        places[:, at] = np.array(known, dtype=np.int64)[which]
    return places


def _place(cell: str, grouping: Grouping) -> int:
    token = canonical_token(cell)
    if grouping.edges is None:
        return next((at for at, of in enumerate(grouping.tokens) if token in of), NO_GROUP)
    if not NUMERAL.fullmatch(token):
        return NO_GROUP
    return int(np.searchsorted(grouping.edges, float(token), side="right"))
