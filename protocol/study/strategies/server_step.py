"""The keys and arithmetic that server optimisers share.

Under distributed noise a server optimiser is given the mean gradient of one step; else it takes
the negative mean update for a gradient, as Reddi et al. do. So the keys that every strategy has
mean what they always mean: ``learning_rate`` and ``momentum`` are those of whoever takes the
gradient steps, the server under distributed noise and the hospitals else. The keys of this record
are the server's own where hospitals take the steps.

Source: Reddi et al. 2021 (ICLR), arXiv 2003.00295, algorithm 2.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from protocol.study.privacy import DistributedPrivacy, Privacy
from protocol.study.strategies.strategy import Mean, Problem, ServerState
from protocol.study.strategies.training import Training

Floats: TypeAlias = NDArray[np.float64]
#: From the second moments and the squared gradient to the next second moments.
SecondMoments: TypeAlias = Callable[[Floats, Floats], Floats]


class ServerOptimiser(Training):
    """The keys of a server optimiser where hospitals take the gradient steps."""

    server_learning_rate: float = Field(
        default=1.0, gt=0, le=1e6, exclude_if=lambda rate: rate == 1.0
    )
    server_momentum: float = Field(default=0.0, ge=0, lt=1, exclude_if=lambda part: part == 0.0)


class AdaptiveOptimiser(ServerOptimiser):
    """The keys of an optimiser that divides by the root of second moments, and of a floor."""

    server_floor: float = Field(default=1e-3, gt=0, le=1e3, exclude_if=lambda floor: floor == 1e-3)


def rate_and_momentum(training: ServerOptimiser, mean: Mean) -> tuple[float, float]:
    """Returns the server's learning rate and momentum."""
    if mean.is_gradient:
        return training.learning_rate, training.momentum
    return training.server_learning_rate, training.server_momentum


def adaptive_step(
    training: AdaptiveOptimiser, state: ServerState, mean: Mean, second_moments: SecondMoments
) -> ServerState:
    """Returns the state after a step along the first moments over the root of the second."""
    (rate, beta), none = rate_and_momentum(training, mean), np.zeros_like(mean.update)
    first = beta * state.slots.get("first", none) + (1 - beta) * mean.gradient
    second = second_moments(state.slots.get("second", none), mean.gradient**2)
    step = -rate * first / (np.sqrt(second) + training.server_floor)
    return state.moved(step, {"first": first, "second": second})


def server_problems(training: ServerOptimiser, privacy: Privacy) -> Iterator[Problem]:
    """Yields the server's own keys that a study of distributed noise has."""
    if not isinstance(privacy, DistributedPrivacy):
        return
    for key, usual in (("server_learning_rate", 1.0), ("server_momentum", 0.0)):
        if getattr(training, key) != usual:
            yield (
                f"training.{key}",
                "under distributed noise the server takes the gradient steps: its rate is "
                f"learning_rate, its momentum is momentum; leave {key} out",
            )
