"""Strategies: what the coordinator does with the secure mean of a round's updates.

A strategy is a pair of pure functions, in the manner of FedJAX: ``init`` makes
the server's state from the first parameters, ``apply`` makes the next state
from the mean update. The state is a frozen record of plain arrays, so that it
can be kept and compared.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """The global parameters after some number of rounds: (size,) float32."""

    parameters: NDArray[np.float32]
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """One way to learn from mean updates."""

    init: Callable[[NDArray[np.float32]], ServerState]
    apply: Callable[[ServerState, NDArray[np.float64]], ServerState]


def fed_avg() -> Strategy:
    """Returns federated averaging: the mean of the sites' models becomes the model.

    Source: McMahan et al. 2017, arXiv 1602.05629, algorithm 1. Averaging the
    models and adding the averaged differences is the same sum.
    """

    def init(parameters: NDArray[np.float32]) -> ServerState:
        return ServerState(parameters=parameters, rounds=0)

    def apply(state: ServerState, mean_update: NDArray[np.float64]) -> ServerState:
        parameters = (state.parameters.astype(np.float64) + mean_update).astype(np.float32)
        return ServerState(parameters=parameters, rounds=state.rounds + 1)

    return Strategy(init=init, apply=apply)


#: The strategies a study may name.
STRATEGIES: dict[str, Callable[[], Strategy]] = {"fedavg": fed_avg}
