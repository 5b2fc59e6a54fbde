"""Strategies: what the coordinator does with the secure mean of a round's updates.

A strategy is a pair of pure functions, in the manner of FedJAX: ``init`` makes
the server's state from the first parameters, ``apply`` makes the next state
from the mean update and the scalars that it needs
(``protocol.update_vector.NEEDS``). The state is a frozen record of plain
arrays, so that it can be kept and compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """The global parameters after some number of rounds: (size,) float32."""

    parameters: NDArray[np.float32]
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Mean:
    """What a round yields: weighted means over the sites in the sum.

    ``update`` is (size,); ``scalars`` are by name; ``bound`` is the L2 norm to
    which every update was shortened.
    """

    update: NDArray[np.float64]
    scalars: Mapping[str, float]
    bound: float


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """One way to learn from mean updates."""

    init: Callable[[NDArray[np.float32]], ServerState]
    apply: Callable[[ServerState, Mean], ServerState]


def fed_avg() -> Strategy:
    """Returns federated averaging: the mean of the sites' models becomes the model.

    Source: McMahan et al. 2017, arXiv 1602.05629, algorithm 1. Averaging the
    models and adding the averaged differences is the same sum.
    """

    return Strategy(init=_begin, apply=lambda state, mean: _moved(state, mean.update))


#: Keeps the step of ``fed_exp`` finite when the updates cancel each other.
_EPSILON = 1e-3


def fed_exp() -> Strategy:
    """Returns federated averaging with an extrapolated step.

    The more the sites' updates point apart, the shorter their mean, and the
    further the server goes along it: by half the ratio of the mean squared
    norm to the squared norm of the mean, and never less than their mean.

    Source: Jhunjhunwala, Wang & Joshi 2023 (ICLR), arXiv 2301.09604, algorithm 1.
    """

    def apply(state: ServerState, mean: Mean) -> ServerState:
        lengths = mean.scalars["squared_norm"] * mean.bound**2
        together = float(mean.update @ mean.update)
        return _moved(state, max(1.0, lengths / (2 * (together + _EPSILON))) * mean.update)

    return Strategy(init=_begin, apply=apply)


def _begin(parameters: NDArray[np.float32]) -> ServerState:
    return ServerState(parameters=parameters, rounds=0)


def _moved(state: ServerState, step: NDArray[np.float64]) -> ServerState:
    parameters = (state.parameters.astype(np.float64) + step).astype(np.float32)
    return ServerState(parameters=parameters, rounds=state.rounds + 1)


#: The strategies a study may name.
STRATEGIES: dict[str, Callable[[], Strategy]] = {"fedavg": fed_avg, "fedexp": fed_exp}
