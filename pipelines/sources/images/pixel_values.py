"""Values of pixels and masks by the contract, whatever file they stand in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.study.cohort.cohort import Image
from protocol.study.cohort.vocabulary import canonical_token


def fits_range(pixels: NDArray[Any], image: Image) -> bool:
    """Whether every pixel lies in the contract's range; NaN does not."""
    low, high = image.range
    return not pixels.size or bool(pixels.min() >= low and pixels.max() <= high)


def scaled(pixels: NDArray[Any], image: Image) -> NDArray[np.float32]:
    """Returns ``(value - centre) / scale``."""
    return (pixels.astype(np.float32) - np.float32(image.centre)) / np.float32(image.scale)


def mask_numbers(
    masks: NDArray[Any], known: Mapping[str, float]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Returns the number of each value's class, and which values are of none.

    Args:
        masks: values as they are stored.
        known: the number of its class, for every spelling.
    """
    values, places = np.unique(masks, return_inverse=True)
    tokens = [canonical_token(value) for value in values.tolist()]
    numbers = np.array([known.get(token, 0.0) for token in tokens], dtype=np.float32)
    unknown = np.array([token not in known for token in tokens], dtype=np.bool_)
    return numbers[places].reshape(masks.shape), unknown[places].reshape(masks.shape)
