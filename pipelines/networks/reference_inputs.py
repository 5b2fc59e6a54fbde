"""Inputs that no patient gave: what a study's declarations let one expect, drawn from its seed.

The released model's scores of them say where scores lie. They are the same in every
hospital and cost no privacy.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.study.cohort.cohort import Cohort, ImageCohort
from protocol.study.cohort.columns import CategoryColumn, NumberColumn

#: How many: their mean score is then known to a sixteenth of its deviation. Fewer of large images.
_MOST, _FEWEST, _NUMBERS = 256, 16, 1 << 24
#: The grey of an image is drawn on a grid of so many places a side, and is smooth between them.
_PLACES = 5


def reference_inputs(cohort: Cohort, seed: int) -> NDArray[np.float32]:
    r"""Returns (inputs, \*form) encoded inputs, the same for equal arguments.

    Numbers are normal around the declared centre with the declared scale, cut off at the
    declared range; each word of a vocabulary is as likely; images are smooth, with greys
    from the whole declared range.
    """
    random = np.random.default_rng(seed)
    if not isinstance(cohort, ImageCohort):
        return _rows(cohort.features, _MOST, random)
    images = _images(cohort, random)
    if not cohort.columns:
        return images
    rows = _rows(cohort.columns, len(images), random)
    return np.concatenate([images.reshape(len(images), -1), rows], axis=1)


def _rows(
    features: Sequence[NumberColumn | CategoryColumn], count: int, random: np.random.Generator
) -> NDArray[np.float32]:
    columns = []
    for column in features:
        if isinstance(column, NumberColumn):
            low, high = ((end - column.centre) / column.scale for end in column.range)
            columns.append(np.clip(random.standard_normal(count), low, high)[:, None])
        else:
            words = random.integers(len(column.tokens), size=count)
            columns.append(np.eye(len(column.tokens))[words][:, 1:])
    return np.concatenate(columns, axis=1).astype(np.float32)


def _images(cohort: ImageCohort, random: np.random.Generator) -> NDArray[np.float32]:
    image = cohort.image
    low, high = ((end - image.centre) / image.scale for end in image.range)
    count = min(_MOST, max(_FEWEST, _NUMBERS // math.prod(image.shape)))
    found = random.uniform(low, high, size=(count, *(_PLACES,) * len(image.shape)))
    for axis, side in enumerate(image.shape, start=1):
        found = _stretched(found, axis, side)
    return found[:, None].astype(np.float32)


def _stretched(values: NDArray[np.float64], axis: int, side: int) -> NDArray[np.float64]:
    """Returns values with ``side`` places along an axis, on straight lines between the old."""
    at = np.linspace(0, values.shape[axis] - 1, side)
    before = np.minimum(at.astype(np.int64), values.shape[axis] - 2)
    share = (at - before).reshape([-1 if place == axis else 1 for place in range(values.ndim)])
    first, second = np.take(values, before, axis), np.take(values, before + 1, axis)
    return np.asarray(first * (1 - share) + second * share)
