"""Adam by the server, on the mean gradient.

Source: Reddi et al. 2021 (ICLR), arXiv 2003.00295, algorithm 2.
"""

from typing import Literal

import numpy as np

from protocol.study.strategies.strategy import Mean, ServerState, Strategy, Training

#: Adam's second decay and the floor of its step, as Reddi et al. suggest for servers.
_BETA_2, _TAU = 0.99, 1e-3


class FedAdam(Training):
    """Adam by the server; ``momentum`` is its first decay."""

    strategy: Literal["fedadam"]


def _apply(training: FedAdam, state: ServerState, mean: Mean) -> ServerState:
    beta, none = training.momentum, np.zeros_like(mean.update)
    first = beta * state.slots.get("first", none) + (1 - beta) * mean.update
    second = _BETA_2 * state.slots.get("second", none) + (1 - _BETA_2) * mean.update**2
    step = -training.learning_rate * first / (np.sqrt(second) + _TAU)
    return state.moved(step, {"first": first, "second": second})


FED_ADAM = Strategy(keys=FedAdam, takes="gradients", apply=_apply, remembers=lambda _training: True)
