"""Federated averaging with an extrapolated step.

The more the sites' updates point apart, the shorter their mean, and the further the server
goes along it: by half the ratio of the mean squared norm to the squared norm of the mean,
and never less than their mean.

Source: Jhunjhunwala, Wang & Joshi 2023 (ICLR), arXiv 2301.09604, algorithm 1.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from protocol.study.privacy import NoPrivacy, Privacy
from protocol.study.strategies.strategy import Mean, Problem, ServerState, Strategy
from protocol.study.strategies.training import Training
from protocol.vectors.fixed_point import norm_of

#: Keeps the step finite when the updates cancel each other.
_EPSILON = 1e-3


class FedExp(Training):
    """Federated averaging with an extrapolated step; ``momentum`` is that of local steps."""

    strategy: Literal["fedexp"]


def squared_norm(update: NDArray[np.floating], bound: float) -> float:
    """Returns the squared L2 norm of an update that is shortened to the bound, in units of it.

    >>> squared_norm(np.array([3.0, 4.0]), 10.0)
    0.25
    """
    return min(1.0, norm_of(update) / bound) ** 2


def _apply(_training: FedExp, state: ServerState, mean: Mean) -> ServerState:
    lengths = mean.scalars["squared_norm"] * mean.bound**2
    together = float(mean.update @ mean.update)
    return state.moved(max(1.0, lengths / (2 * (together + _EPSILON))) * mean.update)


def _problems(_training: FedExp, privacy: Privacy) -> Iterator[Problem]:
    if not isinstance(privacy, NoPrivacy):
        yield (
            "training.strategy",
            "under differential privacy the length of the step of fedexp would be ruled by the "
            "noise: use fedavg",
        )


FED_EXP = Strategy(
    keys=FedExp,
    takes=("updates",),
    apply=_apply,
    scalars={"squared_norm": squared_norm},
    problems=_problems,
)
