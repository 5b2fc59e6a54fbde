"""Adam by the server.

Source: Reddi et al. 2021 (ICLR), arXiv 2003.00295, algorithm 2.
"""

from typing import Literal

from protocol.study.strategies.server_step import (
    AdaptiveOptimiser,
    adaptive_step,
    server_problems,
)
from protocol.study.strategies.strategy import Mean, ServerState, Strategy

#: Adam's second decay, as Reddi et al. suggest for servers.
_BETA_2 = 0.99


class FedAdam(AdaptiveOptimiser):
    """Adam by the server; its momentum is Adam's first decay."""

    strategy: Literal["fedadam"]


def _apply(training: FedAdam, state: ServerState, mean: Mean) -> ServerState:
    return adaptive_step(
        training, state, mean, lambda second, squared: _BETA_2 * second + (1 - _BETA_2) * squared
    )


FED_ADAM = Strategy(
    keys=FedAdam,
    takes=("gradients", "updates"),
    apply=_apply,
    problems=server_problems,
    remembers=lambda _training: True,
)
