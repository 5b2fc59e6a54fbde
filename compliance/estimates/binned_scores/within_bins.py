"""The scores within bins: how those of ill and of healthy patients are taken to lie in each.

Counts say how many scores a bin holds, not where in it they lie. Rules:

1. All scores of an inner bin lie as the grid's normal has them, tilted towards the neighbour that
   holds more. Those of an outer bin reach as far beyond its border as its neighbour's count says:
   the more it holds beside that, the farther. A difference that the patients drawn and the noise
   bring by themselves changes neither.
2. Of the scores in a bin, higher ones belong to ill patients more often: the odds rise from bin
   to bin as the neighbours' counts say and, where these are few or drowned in noise, as two
   normal classes with the counts' means would have it. They never fall.
3. Every bin keeps its own two counts.
4. What follows is an estimate and no bound. How far it may be off is asked of the counts with every
   two bins made one (``halved``), and of the patients crowded beyond the outermost borders.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from protocol.vectors.score_grid import ScoreGrid

Floats = NDArray[np.float64]

#: So many scores stand for all of them, whatever the number of bins.
_ALL_POINTS = 2048
_STEEPEST = 1.8  # of a bin's density, from one end to the other, in parts of its mean
_FARTHEST = 4.0  # times as far beyond an outer border as on the grid's normal, or as near
_MOST_RISE = 20.0  # of the log odds, over one spread of the grid
_HALF_A_PATIENT = 0.5
_FEWEST = 4  # bins whose neighbours say something of each
_FAR = 30.0  # of the log odds: nearer than that to 0 or 1 a chance leaves the other class no share
#: An outer bin is meant to hold as many as any other; this many times as many are crowded.
_CROWDED = 2.0
_SURE = 3.0  # deviations of their noise that crowded patients must exceed


@dataclass(frozen=True, kw_only=True)
class BinnedScores:
    """Counts of scores, and where in the bins these are taken to lie.

    Attributes:
        counts: (2, bins), healthy patients' first, in patients, with their noise.
        deviation: of the noise in each.
        grid: where the bins lie.
        logits: (bins, points) scores that stand for a bin's, rising.
        shares: (2, bins, points), how much of a bin's scores of either class lies at each; they
            sum to one over the points.
    """

    counts: Floats
    deviation: float
    grid: ScoreGrid
    logits: Floats
    shares: Floats

    @classmethod
    def of(cls, counts: NDArray[np.floating], deviation: float, grid: ScoreGrid) -> "BinnedScores":
        """Returns the scores behind (2, bins) counts on this grid; the counts may be negative."""
        cells = np.asarray(counts, dtype=np.float64)
        bins, patients = cells.shape[1], cells.sum(axis=0)
        usual = _with_tails(_usual_points(bins), patients, deviation)
        density = 1 + _tilts(patients, deviation)[:, None] * _places(bins)
        ill = _chances(usual, cells, deviation)
        shares = np.array([density * (1 - ill), density * ill])
        return cls(
            counts=cells, deviation=deviation, grid=grid,
            logits=grid.centre + grid.spread * usual,
            shares=shares / shares.sum(axis=2, keepdims=True),
        )  # fmt: skip

    @property
    def bins(self) -> int:
        """The number of bins."""
        return int(self.counts.shape[1])

    @cached_property
    def risks(self) -> Floats:
        """The (bins, points) risks that the model gives at these scores."""
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-self.logits)))

    @property
    def patients(self) -> float:
        """The number of patients that the counts have, with their noise."""
        return float(self.counts.sum())

    @property
    def weights(self) -> Floats:
        """The (2, bins, points) numbers of patients at each score."""
        return self.counts[:, :, None] * self.shares

    @cached_property
    def halved(self) -> "BinnedScores | None":
        """The same counts with every two bins made one; None where bins are odd or few."""
        if self.bins % 2 or self.bins < _FEWEST:
            return None
        pairs = self.counts.reshape(2, self.bins // 2, 2).sum(axis=2)
        return BinnedScores.of(pairs, self.deviation * math.sqrt(2), self.grid)

    @property
    def has_both(self) -> bool:
        """Whether the counts have patients of either class."""
        return bool((self.counts.sum(axis=1) > 0).all())

    def grid_error(self, figure: Callable[["BinnedScores"], float]) -> float:
        """Returns how far off the bins may leave a figure: as far as half as many bins move it.

        A third of how far a quarter as many move it, where that is more, and of two bins, which
        say little, a sixth: what bins hide grows with their width. Zero where the counts cannot be
        halved.
        """
        value, error, fewer = figure(self), 0.0, self
        for part in (1, 3):
            halved = fewer.halved
            if halved is None or not halved.has_both:
                break
            part *= 2 if part > 1 and halved.bins < _FEWEST else 1
            fewer, error = halved, max(error, abs(figure(halved) - value) / part)
        return error

    def crowded(self) -> tuple[float, float]:
        """Returns the parts of all patients that crowd the lowest and the highest bin.

        Those beyond ``_CROWDED`` times an even part, less what noise may have brought: where
        a grid lies beside the scores, nobody knows how far out these lie.
        """
        held = self.counts.sum(axis=0)[[0, -1]]
        noise = _SURE * self.deviation * math.sqrt(2)
        beyond = np.maximum(held - _CROWDED * self.patients / self.bins - noise, 0.0)
        low, high = beyond / max(self.patients, 1.0)
        return float(low), float(high)


@lru_cache(maxsize=8)
def _usual_points(bins: int) -> Floats:
    return ScoreGrid().points(bins, max(1, _ALL_POINTS // bins))


def _places(bins: int) -> Floats:
    """Returns where in a bin its points lie, from -1/2 to 1/2."""
    count = max(1, _ALL_POINTS // bins)
    return np.asarray((np.arange(count) + 0.5) / count - 0.5)


def _beside(values: Floats) -> tuple[Floats, Floats]:
    """Returns the values of each bin's neighbours; an outer bin is its own missing one."""
    return np.r_[values[:1], values[:-1]], np.r_[values[1:], values[-1:]]


def _with_tails(usual: Floats, patients: Floats, deviation: float) -> Floats:
    """Returns (bins, points) scores of which those in outer bins reach as far as the counts say.

    Of an exponential tail that leaves h = log(1 + next / outer) of its patients' log in the bin
    before it, the mean distance beyond the border goes with 1 / h. Where both hold as many, as on
    the grid's normal, nothing changes.

    Source: Pickands 1975, Annals of Statistics 3 (excesses over a high threshold); James and Stein
    1961, as in ``_tilts``.
    """
    edges, reached = ScoreGrid().edges(len(patients)), usual.copy()
    for outer, beside, edge in ((0, 1, edges[0]), (-1, -2, edges[-1])):
        held, before = float(patients[outer]), float(patients[beside])
        if min(held, before) > 0:
            hazard = math.log1p(before / held)
            apart = math.log(hazard / math.log(2))
            by_chance = sum((one + 2 * deviation**2) / one**2 for one in (held, before))
            by_chance *= (before / (held + before) / hazard) ** 2
            sure = max(1 - by_chance / apart**2, 0.0) if apart else 0.0
            stretch = min(max(math.exp(-apart * sure), 1 / _FARTHEST), _FARTHEST)
            reached[outer] = edge + (usual[outer] - edge) * stretch
    return reached


def _tilts(patients: Floats, deviation: float) -> Floats:
    """Returns the (bins,) tilts of the density of all scores, from what the neighbours hold.

    Outer bins have none: their scores are moved instead (``_with_tails``).

    Source: James and Stein 1961, Berkeley Symposium 4 (the positive part of a shrunk difference).
    """
    before, after = _beside(patients)
    rise = after - before
    rise[[0, -1]] = 0.0
    by_chance = _beside(np.maximum(patients, 0.0) + 2 * deviation**2)
    with np.errstate(all="ignore"):
        sure = np.maximum(1 - (by_chance[0] + by_chance[1]) / rise**2, 0.0)
        tilts = np.where((patients > 0) & (rise != 0), rise / 2 * sure / patients, 0.0)
    return np.asarray(np.clip(tilts, -_STEEPEST, _STEEPEST))


def _chances(usual: Floats, cells: Floats, deviation: float) -> Floats:
    """Returns the chance of being ill at (bins, points) scores, in spreads from the centre.

    Source: Fisher 1936, Annals of Eugenics 7 (the line, of two normal classes of one deviation);
    Haldane 1956, Annals of Human Genetics 20 (half a patient more in the log odds of counts).
    """
    middles, sizes = usual.mean(axis=1), cells.sum(axis=1)
    if min(sizes) <= 0:
        return np.full(usual.shape, 0.5)
    means = (cells * middles).sum(axis=1) / sizes
    squares = float((cells.sum(axis=0) * (usual**2).mean(axis=1)).sum())
    variance = (squares - float((sizes * means**2).sum())) / float(sizes.sum())
    line = (means[1] - means[0]) / variance if variance > 0 else 0.0
    line = min(max(float(line), 0.0), _MOST_RISE)
    expected = math.log(sizes[1] / sizes[0]) + line * (middles - means.mean())
    held = np.maximum(cells, 0.0) + _HALF_A_PATIENT
    found = np.log(held[1]) - np.log(held[0])
    chance = (1 / held + (deviation / held) ** 2).sum(axis=0)
    before, after = _beside(middles)
    (low, high), (low_chance, high_chance) = _beside(found), _beside(chance)
    rise, rise_chance = (high - low) / (after - before), low_chance + high_chance
    own = line**2 / (line**2 + rise_chance / (after - before) ** 2) if line else 0.0
    rises = np.clip(line + own * (rise - line), 0.0, _MOST_RISE)
    at_middle = expected + (found - expected) / (1 + chance)
    odds = at_middle[:, None] + rises[:, None] * (usual - middles[:, None])
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -_FAR, _FAR))))
