"""The mean that the server's step is given, from a round's secure sums; and how it lies.

Where a study names groups (``protocol.study.study.robust``), each group's sum gives a weighted mean
of its own, and a rule over these gives the round's: in each coordinate the groups' values are
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

from protocol.study.noise_shares import NoiseShares, count_units_of
from protocol.study.privacy import DistributedPrivacy
from protocol.study.strategies.registry import CLIP_MOVES, vector_of
from protocol.study.strategies.strategy import Mean
from protocol.study.study import Study
from protocol.vectors.adaptive_clip import (
    clip_of,
    counted_mean,
    log_clip_of,
    max_move,
    moves_within,
)
from protocol.vectors.fixed_point import decode, norm_of
from protocol.vectors.tensors import Tensors, layout_of

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

    def direction(self, before: NDArray[np.float64] | None) -> float | None:
        """Returns the cosine between this mean and that of the round before; None without one."""
        if before is None:
            return None
        lengths = norm_of(before) * norm_of(self.mean.update)
        return _told(float(before @ self.mean.update) / lengths) if lengths else None


def round_mean(study: Study, model: Tensors, sums: Sequence[SummedSites]) -> RoundMean:
    """Returns the mean of a round's sums, by the study's robust rule where it names one.

    Args:
        study: the study.
        model: what the round began with.
        sums: those that succeeded; of a study without groups the one.
    """
    means = tuple(mean_of(study, model, one.survivors, one.total) for one in sums)
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
            sums.append(SummedSites(survivors=own, total=np.sum(vectors, axis=0, dtype=np.uint64)))
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


def mean_of(
    study: Study, model: Tensors, survivors: Collection[str], total: NDArray[np.unsignedinteger]
) -> Mean:
    """Returns the weighted means over the sites that are in a sum, which began with this model.

    Under distributed noise the mean is over the patients that were expected to
    be drawn, by the declared counts. No hospital can move an adaptive clip further than
    its steps can.
    """
    weights, aggregation, privacy = study.weights, study.aggregation, study.privacy
    if isinstance(privacy, DistributedPrivacy):
        expected = sum(study.expected_batch(site) for site in survivors)
        return shared_mean(study, privacy, model, decode(total, frac_bits=0), expected)
    share = sum(weights[site] for site in survivors) / max(weights.values())
    vector = vector_of(study.training, model)
    update, scalars = vector.read(total, bound=aggregation.bound, frac_bits=aggregation.frac_bits)
    mean, weight = update / share, sum(weights[site] for site in survivors)
    if privacy.adaptive_clip is not None:
        most = max_move(privacy.adaptive_clip.rate, study.training.gradients_per_round)
        mean[-1] = moves_within(float(mean[-1]), log_clip_of(model), most=most)
    return Mean(
        update=mean,
        scalars={name: value / share for name, value in scalars.items()},
        bound=aggregation.bound,
        local_steps=sum(weights[site] * study.local_steps_of(site) for site in survivors) / weight,
        attendance=weight / sum(weights.values()),
    )


def shared_mean(
    study: Study,
    privacy: DistributedPrivacy,
    model: Tensors,
    noised: NDArray[np.float64],
    expected: float,
) -> Mean:
    """Returns the mean gradient of a (size,) sum with shared noise, in units of the clip.

    Args:
        study, privacy: the study, and its privacy.
        model: what the round began with, an adaptive clip included.
        noised: the sum.
        expected: the batch that it is over, as declared.
    """
    size = layout_of(model).size
    shares = NoiseShares.of(study, privacy, size)
    if privacy.adaptive_clip is None:
        gradient = noised * (privacy.clip / shares.units / expected)
        return Mean(update=gradient, scalars={}, bound=shares.bound, is_gradient=True)
    found = counted_mean(
        noised,
        units=shares.units,
        count=count_units_of(study, privacy, size, privacy.noise_multiplier),
        clip=clip_of(model, privacy.clip),
        expected=expected,
        rate=privacy.adaptive_clip.rate,
    )
    return Mean(
        update=np.append(found.gradient, 0.0),
        scalars={CLIP_MOVES: found.log_step},
        bound=shares.bound,
        is_gradient=True,
    )


def _told(value: float) -> float:
    """Returns a number in a few digits; a norm beyond all floats stays what it is."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else value
