"""The mean of a training round: what its sum says, with public weights.

A pure function of the study, the round's model and number, who is in the sum, and the sum. So the
coordinator, a hospital that is sent the sum, and an auditor find the same model.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from protocol.study.privacy import DistributedPrivacy
from protocol.study.rounds.noise_shares import NoiseShares, count_units_of
from protocol.study.rounds.round_vector import round_vector
from protocol.study.strategies.server_state import CLIP_MOVES
from protocol.study.strategies.strategy import Mean
from protocol.study.study import Study
from protocol.vectors.adaptive_clip import (
    clip_of,
    counted_mean,
    log_clip_of,
    max_move,
    moves_within,
)
from protocol.vectors.tensors import Tensors, layout_of


def mean_of(
    study: Study,
    model: Tensors,
    number: int,
    survivors: Collection[str],
    total: NDArray[np.unsignedinteger],
) -> Mean:
    """Returns the weighted means over the sites that are in a round's sum.

    Under distributed noise the mean is over the patients that were expected to
    be drawn, by the declared counts. No hospital can move an adaptive clip further than
    its steps can.

    Args:
        study: the study.
        model: what the round began with.
        number: the round, from 0.
        survivors: the sites in the sum.
        total: the sum.
    """
    weights, privacy, vector = study.weights, study.privacy, round_vector(study, model, number)
    values, scalars = vector.read(total)
    if isinstance(privacy, DistributedPrivacy):
        expected = sum(study.expected_batch(site) for site in survivors)
        mean = shared_mean(study, privacy, model, values, expected)
        return replace(mean, coordinates=vector.coordinates)
    share = sum(weights[site] for site in survivors) / max(weights.values())
    update, weight = values / share, sum(weights[site] for site in survivors)
    if privacy.adaptive_clip is not None:
        most = max_move(privacy.adaptive_clip.rate, study.training.gradients_per_round)
        update[-1] = moves_within(float(update[-1]), log_clip_of(model), most=most)
    return Mean(
        update=update,
        scalars={name: value / share for name, value in scalars.items()},
        bound=vector.bound,
        moves_clip=privacy.adaptive_clip is not None,
        coordinates=vector.coordinates,
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
    """Returns the mean gradient of a sum with shared noise, in units of the clip.

    Args:
        study, privacy: the study, and its privacy.
        model: what the round began with, an adaptive clip included.
        noised: the sum, of all coordinates or of those that a round sends.
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
