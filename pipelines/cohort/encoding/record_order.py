"""The order of a table's records: one that its source does not choose.

A file, a query and an export of the same cohort give its rows in different orders. Records stand by
patient, in the order of the patients' keys as text, and a patient's records by what they hold; so
the same cohort has the same digest, and trains the same model, whatever it was read from.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.cells import Cells


def order_by_patient(
    keys: Cells,
    features: NDArray[np.float32],
    labels: NDArray[np.float32],
    columns: Mapping[str, NDArray[np.str_]],
) -> NDArray[np.int64]:
    """Returns the places of the records, by patient and then by content.

    Args:
        keys: of each record's patient.
        features: (records, width), as encoded.
        labels: (records, ...), as encoded.
        columns: what else of a record is kept.

    >>> keys = Cells.of(["b", "a", "b"])
    >>> values = np.array([[2], [3], [1]], np.float32)
    >>> order_by_patient(keys, values, values[:, 0], {}).tolist()
    [1, 2, 0]
    """
    rank = _ranks(keys.spellings)[keys.codes]
    order = np.argsort(rank, kind="stable")
    several = np.bincount(rank)[rank] > 1
    if not several.any():
        return order
    # Only where a patient has several records does what they hold decide.
    within = np.zeros(len(order), dtype=np.int64)
    of_several = np.flatnonzero(several)
    by_content = order_by_content(features, labels, columns, places=of_several)
    within[of_several[by_content]] = np.arange(len(of_several))
    return np.lexsort((within, rank))


def order_by_content(
    features: NDArray[np.float32],
    labels: NDArray[np.float32],
    columns: Mapping[str, NDArray[np.str_]],
    *,
    places: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Returns the order of the records by what they hold: one that depends on it alone.

    Args:
        features, labels, columns: as ``order_by_patient`` takes them.
        places: the records to put in order; all of them when None. The order is among these.
    """
    chosen = np.arange(len(features)) if places is None else places
    flat = labels.reshape(len(labels), -1)
    parts = [*features.T, *flat.T, *(_ranks_of(columns[name]) for name in sorted(columns))]
    table = np.empty((len(chosen), len(parts)), dtype=">f4")
    for place, values in enumerate(parts):
        table[:, place] = values[chosen]
    return np.argsort(table.view(f"V{4 * len(parts)}").ravel(), kind="stable")


def _ranks(spellings: Sequence[str]) -> NDArray[np.int64]:
    """Returns each spelling's place in their order as text."""
    ranks = np.empty(len(spellings), dtype=np.int64)
    ranks[sorted(range(len(spellings)), key=spellings.__getitem__)] = np.arange(len(spellings))
    return ranks


def _ranks_of(tokens: NDArray[np.str_]) -> NDArray[np.float32]:
    return np.unique(tokens, return_inverse=True)[1].astype(np.float32)
