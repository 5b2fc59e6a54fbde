"""Sensitivity, specificity, PPV and F1 of each class, from noised counts.

Counts stay as they came, negative ones too, until the figure is computed. Whether a figure is shown
is asked of the number of patients that it is of and of the noise: the interval of a usual figure of
so many must be narrow enough. What their noise tells of that number is kept apart from what it
tells of the figure, so that to choose by the one chooses no draw of the other.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.groups import PATIENTS, number_of_patients
from compliance.estimates.interval import Interval, score_bounds
from compliance.estimates.proportion import proportion, variance_over_patients
from compliance.estimates.withholding import MARGIN, TOO_FEW, USUAL_SHARE, WIDEST

Floats = NDArray[np.float64]

#: What an error weighs in F1, which is TP / (TP + (FP + FN) / 2).
_HALF = 0.5


def figures_of_classes(table: Floats, deviation: float) -> tuple[Mapping[str, Interval], ...]:
    """Returns each class's sensitivity, specificity, PPV and F1, and how many patients it has.

    Args:
        table: (classes, classes) counts of true by predicted class, in patients; real numbers.
        deviation: of the noise in each; 0 when there is none.
    """
    return tuple(_of_class(table, place, deviation) for place in range(len(table)))


def _of_class(table: Floats, place: int, deviation: float) -> dict[str, Interval]:
    others, found = len(table) - 1, float(table[place, place])
    missed, wrong = float(table[place].sum()) - found, float(table[:, place].sum()) - found
    rest = float(table.sum()) - found - missed - wrong
    return {
        "sensitivity": proportion(
            found, missed, deviation, cells=(1, others), nobody="no patient has this class"
        ),
        "specificity": proportion(
            rest, wrong, deviation, cells=(others**2, others), nobody="every patient has this class"
        ),
        "ppv": proportion(
            found, wrong, deviation, cells=(1, others), nobody="nobody is given this class"
        ),
        "f1": proportion(
            found, missed + wrong, deviation, cells=(1, 2 * others), weight=_HALF,
            nobody="no patient has this class or is given it",
        ),
        PATIENTS: number_of_patients(found + missed, deviation, len(table)),
    }  # fmt: skip


def macro_f1(table: Floats, deviation: float) -> Interval:
    """Returns the mean over the classes of their F1, with its 95 % interval.

    Args:
        table: (classes, classes) counts of true by predicted class, in patients; real numbers.
        deviation: of the noise in each; 0 when there is none.

    The variance is taken of a table with one patient more of each class that is found and one that
    is not, so that few patients, or patients who are all found, leave a width; how the patients'
    part falls towards 0 and 1 is that of one F1. Withheld where a class may have nobody, or where
    the interval of a usual table of these sizes is too wide.

    Source: Takahashi et al. 2022, Applied Intelligence 52 (delta method).
    """
    sizes, spread = _sizes(table), deviation * math.sqrt((len(table) + 1) / 2)
    least = float(sizes.min()) - MARGIN * spread
    if least <= (1.0 if deviation else 1e-9):
        note = TOO_FEW if deviation else "a class that no patient has or is given"
        return Interval.withheld(note)
    low, high = _macro_bounds(_usual_table(sizes), deviation, USUAL_SHARE)
    if deviation and (high - low) / 2 > WIDEST:
        return Interval.withheld(TOO_FEW)
    value = float(np.clip(table.diagonal() / sizes, 0.0, 1.0).mean())
    low, high = _macro_bounds(table, deviation, value)
    return Interval(value=value, low=low, high=high)


def _sizes(table: Floats) -> Floats:
    """Returns what stands below the line of each class's F1, in patients."""
    return np.asarray((table.sum(axis=0) + table.sum(axis=1)) / 2)


def _usual_table(sizes: Floats) -> Floats:
    table = np.repeat(((1 - USUAL_SHARE) * sizes / (len(sizes) - 1))[:, None], len(sizes), axis=1)
    np.fill_diagonal(table, USUAL_SHARE * sizes)
    return table


def _macro_bounds(table: Floats, deviation: float, value: float) -> tuple[float, float]:
    added = table + 1 / (len(table) - 1)
    np.fill_diagonal(added, table.diagonal() + 1)
    shares = np.clip(added.diagonal() / _sizes(added), 0.0, 1.0)
    change = _influences(shares, _sizes(table))
    drawn = float((change**2 * added).sum()) * float(table.sum()) / float(added.sum())
    one = max(drawn, 0.0) / max(variance_over_patients(float(shares.mean()), _HALF), 1e-9)
    of_sizes = _told_by_sizes(change)
    noise = deviation**2 * float(((change - of_sizes) ** 2).sum())
    further = MARGIN * deviation * math.sqrt(float((of_sizes**2).sum()))
    low, high = score_bounds(
        value, lambda truth: one * variance_over_patients(truth, _HALF) + noise
    )
    return max(0.0, min(low, value) - further), min(1.0, max(high, value) + further)


def _influences(shares: Floats, sizes: Floats) -> Floats:
    """Returns the (classes, classes) change of macro F1 by one more patient in each cell."""
    errors = -shares / sizes / 2
    change = errors[:, None] + errors[None, :]
    np.fill_diagonal(change, (1 - shares) / sizes)
    return np.asarray(change / len(shares))


def _told_by_sizes(change: Floats) -> Floats:
    """Returns the part of the changes that the noise in the classes' sizes moves.

    A class's size is half its row and half its column, so that part of a cell is
    ``x[true] + x[predicted]``, by least squares.
    """
    classes = len(change)
    both = change.sum(axis=0) + change.sum(axis=1)
    total = both.sum() / (4 * classes)
    parts = (both - 2 * total) / (2 * classes)
    return np.asarray(parts[:, None] + parts[None, :])
