"""Hausdorff distances of masks, as parts of the image's diagonal and so in [0, 1].

Of the distances between the two surfaces the 95th percentile counts, the larger of both directions:
the greatest would be that of a single pixel. What was found nowhere is as far off as can be.

Source: Huttenlocher et al. 1993, IEEE TPAMI 15; Maier-Hein et al. 2024, Nature Methods 21 (its
percentile). Equal to MONAI's ``compute_hausdorff_distance``, which takes seconds to import.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (  # type: ignore[import-untyped]  # ships no types
    binary_erosion,
    distance_transform_edt,
)

#: Of the distances between surfaces this percentile counts.
PERCENTILE = 95


def diagonal_of(shape: tuple[int, ...]) -> float:
    """Returns the greatest distance between two pixels of an image, in pixels.

    >>> diagonal_of((4, 5))
    5.0
    """
    return math.sqrt(sum((side - 1) ** 2 for side in shape))


def distance_part(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Returns the distance of two masks of one image, as a part of its diagonal.

    Args:
        predicted: of the image's shape; empty ones are a whole diagonal away.
        true: the same; it has a pixel at least.

    >>> true = np.zeros((4, 5), bool)
    >>> true[0, 0] = True
    >>> distance_part(np.roll(true, 3, axis=0), true)
    0.6
    """
    diagonal = diagonal_of(true.shape)
    if not predicted.any():
        return 1.0
    if diagonal == 0:
        return 0.0
    own, other = _surface(predicted), _surface(true)
    distance = max(_directed(own, other), _directed(other, own))
    return min(1.0, distance / diagonal)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns the mask's pixels that touch what is outside, the image's border among it."""
    return np.asarray(mask & ~binary_erosion(mask))


def _directed(start: NDArray[np.bool_], end: NDArray[np.bool_]) -> float:
    """Returns the percentile of the distances from one surface to the other, in pixels."""
    return float(np.percentile(distance_transform_edt(~end)[start], PERCENTILE))
