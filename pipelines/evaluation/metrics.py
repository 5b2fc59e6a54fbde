"""Exact metrics and counts, computed inside a hospital from its own patients' scores.

An exact figure never leaves a hospital; what leaves is a count with noise
added, see ``compliance.estimates.binned_scores.auroc``. ``None`` means *not available*: a
figure that the records cannot support, for example an AUROC with one class.

Rules:

1. Callers hand in one score and one label for each patient.
2. A score that is NaN still counts once, as 0: a patient who vanished from a
   count would be visible in it.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray


def auroc(scores: NDArray[np.floating], labels: NDArray[np.floating]) -> float | None:
    """Returns the exact area under the ROC curve; ties count half.

    ============================  =======
    one class only, or no record  None
    a score is NaN                None
    every score equal             0.5
    ============================  =======

    >>> auroc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 0, 1, 1]))
    0.875

    Source: Hanley and McNeil 1982, Radiology 143: the Mann-Whitney statistic.
    """
    positive = np.asarray(labels) > 0
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative or np.isnan(scores).any():
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle_ranks = last - (counts - 1) / 2
    rank_sum = float(middle_ranks[inverse][positive].sum())
    wins = rank_sum - num_positive * (num_positive + 1) / 2
    return wins / (num_positive * num_negative)


def accuracy(scores: NDArray[np.floating], labels: NDArray[np.floating]) -> float | None:
    """Returns the share of records on the right side of probability one half (logit 0).

    None without records, or when a score is NaN.

    >>> accuracy(np.array([-1.0, 2.0, 3.0]), np.array([0, 1, 0]))
    0.6666666666666666
    """
    if not len(scores) or np.isnan(scores).any():
        return None
    return float(((np.asarray(scores) > 0) == (np.asarray(labels) > 0)).mean())


def histogram(
    logits: NDArray[np.floating],
    labels: NDArray[np.floating],
    edges: NDArray[np.float64],
    side: Literal["left", "right"] = "right",
) -> NDArray[np.int64]:
    """Returns (2, bins) counts of scores in the bins between ``edges``, negatives first.

    The outer bins reach to infinity; what is no number counts as 0. A score that is an edge
    belongs to the bin above it, or with ``left`` to the one below. Guarantee: every score
    counts exactly once, so one patient changes one entry by one.

    >>> scores, ill = np.array([-9.0, 0.0, 0.1]), np.array([0, 0, 1])
    >>> histogram(scores, ill, np.array([-1.0, 0.0, 1.0])).tolist()
    [[1, 0, 1, 0], [0, 0, 1, 0]]

    Raises:
        ValueError: the edges do not rise, or there is none.
    """
    if not len(edges) or not (np.diff(edges) > 0).all():
        raise ValueError("the edges of the bins must rise, and there must be one")
    values = np.nan_to_num(np.asarray(logits, dtype=np.float64), nan=0.0)
    return _count(labels, np.searchsorted(edges, values, side=side), len(edges) + 1)


def two_by_two(logits: NDArray[np.floating], labels: NDArray[np.floating]) -> NDArray[np.int64]:
    """Returns (2, 2) counts at logit 0: [label][predicted], both 0 then 1.

    >>> two_by_two(np.array([-1.0, 2.0, 3.0]), np.array([0, 1, 0])).tolist()
    [[1, 1], [0, 1]]
    """
    predicted = np.asarray(logits) > 0
    return _count(labels, predicted.astype(np.int64), 2)


def _count(labels: NDArray[np.floating], places: NDArray[np.int64], bins: int) -> NDArray[np.int64]:
    rows = (np.asarray(labels) > 0).astype(np.int64)
    return np.bincount(rows * bins + places, minlength=2 * bins).reshape(2, bins)


def class_table(scores: NDArray[np.floating], labels: NDArray[np.floating]) -> NDArray[np.int64]:
    """Returns the (classes, classes) counts of patients by true and by predicted class.

    Args:
        scores: (patients, classes); the highest is the predicted class, the first of equals.
        labels: (patients,) numbers of the true classes.

    >>> class_table(np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0]]), np.array([0, 1, 1])).tolist()
    [[1, 0], [1, 1]]
    """
    classes = scores.shape[1]
    predicted = np.nan_to_num(scores, nan=0.0).argmax(axis=1)
    cells = np.asarray(labels).astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def balanced_accuracy(table: NDArray[np.int64]) -> float | None:
    """Returns the mean over the classes of the share of their patients that is found.

    None where a class has no patient.

    >>> balanced_accuracy(np.array([[3, 1], [0, 2]]))
    0.875
    """
    sizes = table.sum(axis=1)
    return float((table.diagonal() / sizes).mean()) if sizes.all() else None


def macro_f1(table: NDArray[np.int64]) -> float | None:
    """Returns the mean over the classes of their F1, TP / (TP + (FP + FN) / 2).

    None where a class has no patient and is given to none.

    >>> macro_f1(np.array([[3, 1], [0, 2]]))
    0.8285714285714285
    """
    sizes = (table.sum(axis=0) + table.sum(axis=1)) / 2
    return float((table.diagonal() / sizes).mean()) if sizes.all() else None
