"""Gradient descent with momentum on the mean gradient of all hospitals' patients.

Source: Sutskever et al. 2013 (ICML), section 2, with the velocity in units of gradients.
"""

from typing import Literal

from protocol.study.strategies.strategy import Mean, ServerState, Strategy
from protocol.study.strategies.training import Training


class FedSgd(Training):
    """Gradient descent by the server, whose momentum is ``momentum``."""

    strategy: Literal["fedsgd"]


def _apply(training: FedSgd, state: ServerState, mean: Mean) -> ServerState:
    velocity = training.momentum * state.slots.get("velocity", 0.0) + mean.update
    slots = {"velocity": velocity} if training.momentum else {}
    return state.moved(-training.learning_rate * velocity, slots)


FED_SGD = Strategy(
    keys=FedSgd,
    takes=("gradients",),
    apply=_apply,
    remembers=lambda training: training.momentum > 0,
)
