"""What a hospital gives in an evaluation: counts for the secure sum, and a table of its own.

The vector of the secure sum holds the score counts of all hospitals together,
``[ negative bins | positive bins ]``. Each hospital's two-by-two table (true
negative, false positive, false negative, true positive) is a figure of that
hospital alone: it is noised by itself, and signed in the ``masked`` message, so
that nobody else can change it. Behind it stands the grid on which the hospital
counted (``score_grid``), which follows from the model alone.

One patient changes one cell of the counts and one of the table by one. Both are
in units of ``1 / COUNT_UNITS``, so that integer noise is fine-grained.
"""

import math
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
    """The layout of the counts."""

    bins: int

    @property
    def size(self) -> int:
        """How many numbers the vector has."""
        return 2 * self.bins

    @property
    def digest(self) -> str:
        """The layout's name."""
        return digest_json({"bins": self.bins})

    def read(self, total: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the (2, bins) counts of a sum, in patients."""
        return np.asarray(total / COUNT_UNITS).reshape(2, self.bins)


def in_units(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns counts of patients, of whatever shape, as one vector of units."""
    return np.asarray(counts.reshape(-1) * COUNT_UNITS)


def read_table(cells: tuple[int, ...]) -> NDArray[np.float64]:
    """Returns the (2, 2) table that a hospital signed, in patients.

    >>> read_table((2048, 0, 1024, 512, 0, 10_000))
    array([[2. , 0. ],
           [1. , 0.5]])
    """
    return np.array(cells[:_TABLE], dtype=np.float64).reshape(2, 2) / COUNT_UNITS


def read_grid(cells: tuple[int, ...]) -> ScoreGrid:
    """Returns the grid on which a hospital signed that it counted."""
    centre, spread = cells[_TABLE:]
    return ScoreGrid.of_cells((centre, spread))


def noise_deviations(noise_multiplier: float, site_share: float) -> tuple[float, float]:
    """Returns the noise deviations, in patients, of the counts and of a hospital's table.

    One patient changes both by one, so the joint release is a Gaussian
    mechanism with multiplier z when ``1/counts**2 + 1/table**2 == 1/z**2``;
    ``site_share`` is the table's part of that sum.

    >>> counts, table = noise_deviations(2.0, 0.2)
    >>> round(1 / counts**2 + 1 / table**2, 12)
    0.25
    """
    return (
        noise_multiplier / math.sqrt(1 - site_share),
        noise_multiplier / math.sqrt(site_share),
    )
