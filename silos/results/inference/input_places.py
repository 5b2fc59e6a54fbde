"""Places of records among those that a study allows: what a search for extraction looks at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.study.cohort.cohort import Cohort
from protocol.study.cohort.columns import NumberColumn


@dataclass(frozen=True, kw_only=True, eq=False)
class InputPlaces:
    """Some records by their columns' places, and which columns are numbers.

    Attributes:
        places: (records, columns): of a number, where it lies in its range, from 0 to 1; of a
            category, the number of its value.
        is_number: (columns,) whether a column holds numbers.
    """

    places: NDArray[np.float64]
    is_number: NDArray[np.bool_]


def input_places(features: NDArray[np.float32], cohort: Cohort) -> InputPlaces:
    """Returns where encoded records lie; of images, by the columns beside them.

    Args:
        features: (records, ...) as a table or images are encoded.
        cohort: the study's.
    """
    flat = features.reshape(len(features), -1)
    at = flat.shape[1] - cohort.width
    found, numbers = [], []
    for column in cohort.features:
        block = flat[:, at : at + column.width].astype(np.float64)
        at += column.width
        if isinstance(column, NumberColumn):
            low, high = column.range
            # Rounded as float32 has them: a number that was written twice is the same one.
            value = block[:, 0] * column.scale + column.centre
            found.append(np.round((value - low) / (high - low), 6))
        else:
            found.append(block @ np.arange(1.0, column.width + 1.0))
        numbers.append(isinstance(column, NumberColumn))
    places = np.stack(found, axis=1) if found else np.zeros((len(flat), 0))
    return InputPlaces(places=places, is_number=np.array(numbers, dtype=np.bool_))
