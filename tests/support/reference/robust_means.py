"""Robust means as their definitions say, one coordinate after the other, in exact fractions."""

from collections.abc import Sequence
from fractions import Fraction


def coordinate_median(vectors: Sequence[Sequence[float]]) -> list[float]:
    """Yin et al. 2018, definition 1: the middle value, or the mean of the two middle ones."""
    found = []
    for values in zip(*vectors, strict=True):
        ordered = sorted(map(Fraction, values))
        middle, odd = divmod(len(ordered), 2)
        found.append(float(ordered[middle] if odd else (ordered[middle - 1] + ordered[middle]) / 2))
    return found


def trimmed_mean(vectors: Sequence[Sequence[float]], trim: int) -> list[float]:
    """Yin et al. 2018, definition 2: the mean without so many of the least and of the greatest."""
    found = []
    for values in zip(*vectors, strict=True):
        left = sorted(map(Fraction, values))[trim : len(values) - trim]
        found.append(float(sum(left) / len(left)))
    return found
