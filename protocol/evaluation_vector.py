"""The vector in which an evaluation's counts travel through the secure sum.

::

    [ pooled score counts: negative bins | positive bins ][ site 1 table ][ site 2 table ] ...

Every site adds its score counts to the pooled block; its two-by-two table
(true negative, false positive, false negative, true positive) goes into its
own block, in sorted site order, and zeros into the others'. One patient
changes one cell of each of the two blocks by one. Counts travel in units of
``1 / COUNT_UNITS``, so that integer noise is fine-grained.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: How many units one patient is worth: noise of any use is then far above 16 units.
COUNT_UNITS = 1 << 10
_CELLS = 4


@dataclass(frozen=True, kw_only=True)
class EvaluationVector:
    """The layout for one cohort: who owns which block."""

    sites: tuple[str, ...]
    bins: int

    def __post_init__(self) -> None:
        if tuple(sorted(set(self.sites))) != self.sites:
            raise ValueError("sites must be sorted and distinct")

    @property
    def size(self) -> int:
        """How many numbers the vector has."""
        return 2 * self.bins + _CELLS * len(self.sites)

    def place(
        self, site: str, counts: NDArray[np.int64], table: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Returns the (size,) vector of one site's (2, bins) counts and (2, 2) table, in units."""
        vector = np.zeros(self.size, dtype=np.int64)
        vector[: 2 * self.bins] = counts.reshape(-1)
        vector[self.block(site)] = table.reshape(-1)
        return vector * COUNT_UNITS

    def block(self, site: str) -> slice:
        """Returns where a site's own table lies."""
        start = 2 * self.bins + _CELLS * self.sites.index(site)
        return slice(start, start + _CELLS)

    def read(
        self, total: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], Mapping[str, NDArray[np.float64]]]:
        """Returns the pooled (2, bins) counts and each site's (2, 2) table, in patients."""
        patients = total / COUNT_UNITS
        tables = {site: patients[self.block(site)].reshape(2, 2) for site in self.sites}
        return patients[: 2 * self.bins].reshape(2, self.bins), tables


def noise_deviations(noise_multiplier: float, site_share: float) -> tuple[float, float]:
    """Returns the noise deviations, in patients, of the pooled block and of a site's table.

    One patient changes both blocks by one, so the joint release is a Gaussian
    mechanism with multiplier z when ``1/pooled**2 + 1/table**2 == 1/z**2``;
    ``site_share`` is the table's part of that sum.

    >>> pooled, table = noise_deviations(2.0, 0.2)
    >>> round(1 / pooled**2 + 1 / table**2, 12)
    0.25
    """
    return (
        noise_multiplier / math.sqrt(1 - site_share),
        noise_multiplier / math.sqrt(site_share),
    )
