"""Federated averaging with momentum by the server.

Source: Hsu, Qi & Brown 2019, arXiv 1909.06335, section 4.3.
"""

from typing import Literal

from pydantic import Field

from protocol.study.strategies.strategy import Mean, ServerState, Strategy
from protocol.study.strategies.training import Training


class FedAvgM(Training):
    """Averaging with a velocity; ``momentum`` is that of a site's local steps."""

    strategy: Literal["fedavgm"]
    server_momentum: float = Field(default=0.9, ge=0, lt=1)
    server_learning_rate: float = Field(default=1.0, gt=0, le=1e6)


def _apply(training: FedAvgM, state: ServerState, mean: Mean) -> ServerState:
    velocity = training.server_momentum * state.slots.get("velocity", 0.0) + mean.update
    return state.moved(training.server_learning_rate * velocity, {"velocity": velocity})


FED_AVGM = Strategy(
    keys=FedAvgM, takes=("updates",), apply=_apply, remembers=lambda _training: True
)
