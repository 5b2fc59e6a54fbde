"""Adagrad by the server: second moments that only grow.

Source: Reddi et al. 2021 (ICLR), arXiv 2003.00295, algorithm 2; Duchi et al. 2011 (JMLR 12).
"""

from typing import Literal

from protocol.study.strategies.server_step import (
    AdaptiveOptimiser,
    adaptive_step,
    server_problems,
)
from protocol.study.strategies.strategy import Mean, ServerState, Strategy


class FedAdagrad(AdaptiveOptimiser):
    """Adagrad by the server; its momentum is the decay of the first moments."""

    strategy: Literal["fedadagrad"]


def _apply(training: FedAdagrad, state: ServerState, mean: Mean) -> ServerState:
    return adaptive_step(training, state, mean, lambda second, squared: second + squared)


FED_ADAGRAD = Strategy(
    keys=FedAdagrad,
    takes=("gradients", "updates"),
    apply=_apply,
    problems=server_problems,
    remembers=lambda _training: True,
)
