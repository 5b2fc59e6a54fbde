"""The mean that the server's step is given, from a round's secure sums; and how it lies.

Where a study names groups (``protocol.study.study.sums.robust``), each group's sum gives a weighted
mean of its own, and a rule over these gives the round's: in each coordinate the groups' values are
sorted, as many are left out at either end as the rule says, and the rest are averaged. A median
leaves out all but the middle one or two. What the hospitals of few groups send, then, moves no
coordinate beyond what other groups have sent.

Source: Yin et al. 2018 (ICML), arXiv 1803.01498, definitions 1 and 2.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from protocol.study.rounds.mean import mean_of
from protocol.study.strategies.strategy import Mean
from protocol.study.study import Study
from protocol.vectors.fixed_point import norm_of
from protocol.vectors.tensors import Tensors

#: Coordinates are sorted in pieces of this many: no copy of all groups' means.
_CHUNK = 1 << 18
#: So many digits of a norm, a distance and a direction are told: machines round the next ones.
_DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class SummedSites:
    """One secure sum of a round: the hospitals in it, and the (size,) ring elements."""

    survivors: Collection[str]
    total: NDArray[np.unsignedinteger]


@dataclass(frozen=True, kw_only=True)
class RoundMean:
    """The mean of a round, and how it was made: the mean of each of its sums, in their order."""

    mean: Mean
    of_sums: tuple[Mean, ...]

    @property
    def norm(self) -> float:
        """The L2 norm of the mean, in a few digits."""
        return _told(norm_of(self.mean.update))

    @property
    def distances(self) -> tuple[float, ...]:
        """The L2 distance of each sum's mean from the round's, in a few digits."""
        return tuple(_told(norm_of(one.update - self.mean.update)) for one in self.of_sums)

    def direction(self, before: Mean | None) -> float | None:
        """Returns the cosine between this mean and that of the round before.

        None without one, and where the two rounds sent other coordinates.
        """
        if before is None or not _same(before.coordinates, self.mean.coordinates):
            return None
        lengths = norm_of(before.update) * norm_of(self.mean.update)
        return _told(float(before.update @ self.mean.update) / lengths) if lengths else None


def _same(some: NDArray[np.int64] | None, others: NDArray[np.int64] | None) -> bool:
    return some is others or (
        some is not None and others is not None and np.array_equal(some, others)
    )


def round_mean(study: Study, model: Tensors, number: int, sums: Sequence[SummedSites]) -> RoundMean:
    """Returns the mean of a round's sums, by the study's robust rule where it names one.

    Args:
        study: the study.
        model: what the round began with.
        number: the round, from 0.
        sums: those that succeeded; of a study without groups the one.
    """
    means = tuple(mean_of(study, model, number, one.survivors, one.total) for one in sums)
    if study.robust is None:
        (mean,) = means
        return RoundMean(mean=mean, of_sums=means)
    weights = study.weights
    of_groups = [sum(weights[site] for site in one.survivors) for one in sums]
    weight = sum(of_groups)
    return RoundMean(
        mean=replace(
            means[0],
            update=middle_mean([one.update for one in means], study.robust.trimmed(len(means))),
            local_steps=sum(
                of * one.local_steps for of, one in zip(of_groups, means, strict=True)
            ) / weight,
            attendance=weight / sum(weights.values()),
        ),
        of_sums=means,
    )  # fmt: skip


def summed(
    study: Study,
    number: int,
    sites: Collection[str],
    contribution: Callable[[str], NDArray[np.unsignedinteger]],
) -> list[SummedSites]:
    """Returns the sums of a training round in the clear, where masks would change nothing.

    Args:
        study: says who is summed with whom in the round.
        number: the round, from 0.
        sites: the hospitals that there are.
        contribution: returns a hospital's (size,) ring elements.
    """
    sums = []
    for one in study.sums("training", number):
        own = [site for site in sites if site in one.sites]
        if own:
            vectors = [contribution(site) for site in own]
            total = np.sum(vectors, axis=0, dtype=vectors[0].dtype)
            sums.append(SummedSites(survivors=own, total=total))
    return sums


def middle_mean(vectors: Sequence[NDArray[np.float64]], trim: int) -> NDArray[np.float64]:
    """Returns the coordinate-wise mean of what is left without the ``trim`` least and greatest.

    >>> middle_mean([np.array([1.0, 9.0]), np.array([2.0, -9.0]), np.array([7.0, 0.0])], 1)
    array([2., 0.])
    """
    kept = len(vectors) - 2 * trim
    if kept < 1 or trim < 0:
        raise ValueError(f"{len(vectors)} vectors leave none without {trim} at either end")
    found = np.empty(len(vectors[0]))
    for start in range(0, len(found), _CHUNK):
        piece = np.sort([vector[start : start + _CHUNK] for vector in vectors], axis=0)
        # Added in this order everywhere, so that whoever computes it again gets the same bits.
        total = piece[trim].copy()
        for row in piece[trim + 1 : trim + kept]:
            total += row
        found[start : start + _CHUNK] = total / kept
    return found


def _told(value: float) -> float:
    """Returns a number in a few digits; a norm beyond all floats stays what it is."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else value
