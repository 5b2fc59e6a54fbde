"""A hospital's evaluation vector: counts for the secure sum, and counts of its own.

Sizes and bounds of both follow from the study's task; how they are counted is defined in
``pipelines.tasks``. A hospital's own counts are noised by themselves, and signed in the
``masked`` message, so that nobody else can change them; behind them stand whole numbers that
follow from the model alone. All counts are in units of ``1 / COUNT_UNITS`` of a patient, so
that integer noise is fine-grained.

For binary classification the vector of the secure sum holds the score counts of all
hospitals together, ``[ negative bins | positive bins ]``. A hospital's own counts are its
two-by-two table (true negative, false positive, false negative, true positive), and behind
it stands the grid on which it counted (``score_grid``). One patient changes one cell of the
counts and one of the table by one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.encoding import digest_json
from protocol.vectors.score_grid import ScoreGrid

#: How many units one patient is worth: noise of any use is then far above 16 units.
COUNT_UNITS = 1 << 10
#: How many numbers a hospital gives of its own: its table's four, and its grid's two.
OWN_CELLS = 6
_TABLE = 4


@dataclass(frozen=True, kw_only=True)
class EvaluationVector:
    """The sizes and bounds of one task's counts.

    Attributes:
        shape: of the counts for the secure sum.
        influence: how much one patient changes the counts for the sum at most, and as much
            the hospital's own: the L2 norm, in patients.
        settings: what of the study the layout follows from, by name.
    """

    shape: tuple[int, ...]
    influence: float
    settings: Mapping[str, int]

    @property
    def size(self) -> int:
        """The number of numbers in the vector."""
        return math.prod(self.shape)

    @property
    def digest(self) -> str:
        """The layout's name."""
        return digest_json(dict(self.settings))

    def read(self, total: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the counts of a sum in their shape, in patients."""
        return np.asarray(total / COUNT_UNITS).reshape(self.shape)

    def deviations(self, noise_multiplier: float, site_share: float) -> tuple[float, float]:
        """Returns the noise deviations, in patients, of the sum's counts and of a hospital's own.

        See ``noise_deviations``.
        """
        counts, own = noise_deviations(noise_multiplier, site_share)
        return self.influence * counts, self.influence * own


def binary_counts(bins: int) -> EvaluationVector:
    """Returns the layout for binary classification: the scores' bins, by label."""
    return EvaluationVector(shape=(2, bins), influence=1.0, settings={"bins": bins})


#: The layout of every task's counts, by the task's ``kind``, from the number of bins.
EVALUATION_VECTORS: Mapping[str, Callable[[int], EvaluationVector]] = {
    "binary_classification": binary_counts,
}


def in_units(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns counts of patients, of whatever shape, as one vector of units."""
    return np.asarray(counts.reshape(-1) * COUNT_UNITS)


def read_table(cells: tuple[int, ...]) -> NDArray[np.float64]:
    """Returns the (4,) own counts that a hospital signed, in patients.

    >>> read_table((2048, 0, 1024, 512, 0, 10_000)).tolist()
    [2.0, 0.0, 1.0, 0.5]
    """
    return np.array(cells[:_TABLE], dtype=np.float64) / COUNT_UNITS


def read_grid(cells: tuple[int, ...]) -> ScoreGrid:
    """Returns the grid on which a hospital signed that it counted."""
    centre, spread = cells[_TABLE:]
    return ScoreGrid.of_cells((centre, spread))


def noise_deviations(noise_multiplier: float, site_share: float) -> tuple[float, float]:
    """Returns the noise deviations of the sum's counts and of a hospital's own, per influence.

    One patient changes both by its influence, so the joint release is a Gaussian
    mechanism with multiplier z when ``1/counts**2 + 1/table**2 == 1/z**2``;
    ``site_share`` is the own counts' part of that sum.

    >>> counts, table = noise_deviations(2.0, 0.2)
    >>> round(1 / counts**2 + 1 / table**2, 12)
    0.25
    """
    return (
        noise_multiplier / math.sqrt(1 - site_share),
        noise_multiplier / math.sqrt(site_share),
    )
