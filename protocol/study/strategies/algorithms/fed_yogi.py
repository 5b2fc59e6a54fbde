"""Yogi by the server: second moments that move by a bounded step, whatever their size.

Source: Reddi et al. 2021 (ICLR), arXiv 2003.00295, algorithm 2; Zaheer et al. 2018 (NeurIPS).
"""

from typing import Literal

import numpy as np

from protocol.study.strategies.server_step import (
    AdaptiveOptimiser,
    adaptive_step,
    server_problems,
)
from protocol.study.strategies.strategy import Mean, ServerState, Strategy

#: Yogi's second decay, as Reddi et al. suggest for servers.
_BETA_2 = 0.99


class FedYogi(AdaptiveOptimiser):
    """Yogi by the server; its momentum is the decay of the first moments."""

    strategy: Literal["fedyogi"]


def _apply(training: FedYogi, state: ServerState, mean: Mean) -> ServerState:
    return adaptive_step(
        training,
        state,
        mean,
        lambda second, squared: second - (1 - _BETA_2) * squared * np.sign(second - squared),
    )


FED_YOGI = Strategy(
    keys=FedYogi,
    takes=("gradients", "updates"),
    apply=_apply,
    problems=server_problems,
    remembers=lambda _training: True,
)
