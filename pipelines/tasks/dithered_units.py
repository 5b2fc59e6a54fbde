"""Numbers of a patient as whole units, without losing what is smaller than one."""

import numpy as np
from numpy.typing import NDArray

from pipelines.tasks.task import Counts, Floats
from protocol.vectors.evaluation import COUNT_UNITS


def in_dithered_units(parts: Floats) -> Counts:
    """Returns numbers in [-1, 1] as whole units, rounded up as often as their fraction says.

    To round to the nearest unit would lose what is small. The chance is drawn from the number's
    own bits: a patient's units follow from that patient alone, and are no more than
    ``COUNT_UNITS``.

    >>> in_dithered_units(np.array([1.0, -1.0, 0.0])).tolist()
    [1024, -1024, 0]
    """
    units = np.floor(parts * COUNT_UNITS + _fractions(parts)).astype(np.int64)
    return np.clip(units, -COUNT_UNITS, COUNT_UNITS)  # a float's own rounding adds one in 2**43


def _fractions(numbers: Floats) -> Floats:
    """Returns a number in [0, 1) for each, mixed from its bits (Steele et al. 2014, SplitMix64)."""
    mixed: NDArray[np.uint64] = np.ascontiguousarray(numbers + 0.0).view(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) / 2.0**64 * (1 - 2.0**-53))
