"""Strategies: what the coordinator does with the secure mean of a round's updates.

A strategy is a pair of pure functions, in the manner of FedJAX: ``init`` makes
the server's state from the first parameters, ``apply`` makes the next state
from the mean update and the scalars that it needs
(``protocol.vectors.update.NEEDS``). The state is a frozen record of plain
arrays, so that it can be kept and compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from protocol.study.study import Training


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """The global parameters after some number of rounds: (size,) float32.

    ``slots`` are what an optimiser remembers, (size,) float64 each.
    """

    parameters: NDArray[np.float32]
    rounds: int
    slots: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Mean:
    """What a round yields: weighted means over the sites in the sum.

    ``update`` is (size,), under distributed noise the mean gradient; ``scalars``
    are by name; ``bound`` is the L2 norm to which every update was shortened.
    """

    update: NDArray[np.float64]
    scalars: Mapping[str, float]
    bound: float


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """One way to learn from mean updates.

    ``remembers`` says whether a round depends on more than the model before it.
    """

    init: Callable[[NDArray[np.float32]], ServerState]
    apply: Callable[[ServerState, Mean], ServerState]
    remembers: bool = False


def fed_avg(_: Training) -> Strategy:
    """Returns federated averaging: the mean of the sites' models becomes the model.

    Source: McMahan et al. 2017, arXiv 1602.05629, algorithm 1. Averaging the
    models and adding the averaged differences is the same sum.
    """
    return Strategy(init=_begin, apply=lambda state, mean: _moved(state, mean.update))


#: Keeps the step of ``fed_exp`` finite when the updates cancel each other.
_EPSILON = 1e-3


def fed_exp(_: Training) -> Strategy:
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


def fed_sgd(training: Training) -> Strategy:
    """Returns gradient descent with momentum on the mean gradient of all hospitals' patients.

    Source: Sutskever et al. 2013 (ICML), section 2, with the velocity in units of gradients.
    """

    def apply(state: ServerState, mean: Mean) -> ServerState:
        velocity = training.momentum * state.slots.get("velocity", 0.0) + mean.update
        moved = _moved(state, -training.learning_rate * velocity)
        return replace(moved, slots={"velocity": velocity} if training.momentum else {})

    return Strategy(init=_begin, apply=apply, remembers=training.momentum > 0)


#: Adam's second decay and the floor of its step, as Reddi et al. suggest for servers.
_BETA_2, _TAU = 0.99, 1e-3


def fed_adam(training: Training) -> Strategy:
    """Returns Adam on the mean gradient; ``momentum`` is its first decay.

    Source: Reddi et al. 2021 (ICLR), arXiv 2003.00295, algorithm 2.
    """

    def apply(state: ServerState, mean: Mean) -> ServerState:
        beta, none = training.momentum, np.zeros_like(mean.update)
        first = beta * state.slots.get("first", none) + (1 - beta) * mean.update
        second = _BETA_2 * state.slots.get("second", none) + (1 - _BETA_2) * mean.update**2
        step = -training.learning_rate * first / (np.sqrt(second) + _TAU)
        return replace(_moved(state, step), slots={"first": first, "second": second})

    return Strategy(init=_begin, apply=apply, remembers=True)


def _begin(parameters: NDArray[np.float32]) -> ServerState:
    return ServerState(parameters=parameters, rounds=0)


def _moved(state: ServerState, step: NDArray[np.float64]) -> ServerState:
    parameters = (state.parameters.astype(np.float64) + step).astype(np.float32)
    return ServerState(parameters=parameters, rounds=state.rounds + 1)


#: The strategies a study may name.
STRATEGIES: dict[str, Callable[[Training], Strategy]] = {
    "fedavg": fed_avg,
    "fedexp": fed_exp,
    "fedsgd": fed_sgd,
    "fedadam": fed_adam,
}
