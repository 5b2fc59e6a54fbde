"""The bins of an evaluation, placed around the scores that the released model itself gives.

A trained model's scores may lie far from zero or close together: on a grid that was fixed
beforehand most of them may fall into one bin, and the figure read from the counts says
nothing. So each hospital places the grid by what the released model makes of reference
inputs, which are drawn from the study's declarations and are the same everywhere. Nothing
in that depends on a patient, so it costs no privacy, and one patient still counts in
exactly one bin. AUROC follows from the order of the scores alone, so it is the same on any
grid that keeps them apart (``docs/adr/0019-bins-around-the-models-scores.md``).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

#: Centre and spread are whole numbers of a ten-thousandth: machines that round a score
#: differently agree on the grid.
GRID_UNITS = 10_000
_MAX_UNITS = 1 << 40
#: So many scores stand for those of a bin.
POINTS = 16
_USUAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class ScoreGrid:
    """Bins that scores fill evenly where they are normal with this ``centre`` and ``spread``.

    Both are in units of the logit; the outer bins reach to infinity.

    >>> ScoreGrid(centre=1.0, spread=2.0).edges(4).round(2).tolist()
    [-0.35, 1.0, 2.35]
    """

    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def around(cls, logits: NDArray[np.floating]) -> "ScoreGrid":
        """Returns the grid around these logits; the usual one where they are no finite numbers."""
        values = np.asarray(logits, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            centre, spread = float(values.mean()), float(values.std())
        if not (math.isfinite(centre) and math.isfinite(spread)):
            return cls()
        return cls.of_cells((_units(centre), max(1, _units(spread))))

    @classmethod
    def of_cells(cls, cells: tuple[int, int]) -> "ScoreGrid":
        """Returns the grid that a hospital signed; the inverse of ``cells``."""
        centre, spread = cells
        return cls(centre=centre / GRID_UNITS, spread=max(1, spread) / GRID_UNITS)

    @property
    def middle(self) -> float:
        """The centre, as it is signed."""
        return _units(self.centre) / GRID_UNITS

    @property
    def cells(self) -> tuple[int, int]:
        """Centre and spread in units of ``1 / GRID_UNITS``, as a hospital signs them."""
        return _units(self.centre), max(1, _units(self.spread))

    def edges(self, bins: int) -> NDArray[np.float64]:
        """Returns the (bins - 1,) rising borders between the bins."""
        return self._quantiles([place / bins for place in range(1, bins)])

    def edges_through(self, logit: float, bins: int) -> NDArray[np.float64]:
        """Returns (bins - 1,) rising borders, of which the nearest to a logit is moved there.

        >>> ScoreGrid(centre=1.0, spread=2.0).edges_through(0.0, 4).round(2).tolist()
        [0.0, 1.0, 2.35]
        """
        edges = self.edges(bins)
        edges[self.bins_below(logit, bins) - 1] = logit
        return edges

    def bins_below(self, logit: float, bins: int) -> int:
        """Returns how many bins of ``edges_through`` lie below the logit."""
        return int(np.abs(self.edges(bins) - logit).argmin()) + 1

    def points(self, bins: int, count: int = POINTS) -> NDArray[np.float64]:
        """Returns (bins, count) scores that stand for each bin's, were all scores normal."""
        shares = [(place + 0.5) / (bins * count) for place in range(bins * count)]
        return self._quantiles(shares).reshape(bins, count)

    def _quantiles(self, shares: list[float]) -> NDArray[np.float64]:
        return self.centre + self.spread * np.array([_USUAL.inv_cdf(share) for share in shares])


def logit_of(risk: float) -> float:
    """Returns the logit of a risk in (0, 1); exactly 0 of an even one."""
    return math.log(risk / (1 - risk))


def agreed_grid(grids: list[ScoreGrid]) -> ScoreGrid:
    """Returns the grid that most of the hospitals signed: the lower median of each number.

    Hospitals that count one model agree but for the rounding of the last unit. Fewer than
    half of them cannot move it by signing another grid; AUROC does not depend on it at all.
    """
    cells = [sorted(each) for each in zip(*(grid.cells for grid in grids), strict=True)]
    centre, spread = (each[(len(each) - 1) // 2] for each in cells)
    return ScoreGrid.of_cells((centre, spread))


def _units(value: float) -> int:
    return round(min(max(value * GRID_UNITS, -_MAX_UNITS), _MAX_UNITS))
