"""Federated averaging of all layers but some, which are trained with them and stay at home.

Of a network's last layer it is a head for each hospital; of its normalisation layers, FedBN.

Source: Arivazhagan et al. 2019, arXiv 1912.00818, algorithm 1; Li et al. 2021 (ICLR), arXiv
2102.07623, algorithm 1.
"""

from typing import Literal

from protocol.study.strategies.local_steps import LocalStart, LocalSteps, descend
from protocol.study.strategies.own_layers import (
    KeepsLayers,
    begun_with,
    chosen,
    ended_with,
    kept_layers_in,
)
from protocol.study.strategies.strategy import Strategy


class FedPer(KeepsLayers):
    """Averaging of all layers but ``own_layers``; ``momentum`` is that of local steps."""

    strategy: Literal["fedper"]


def _local(training: FedPer, start: LocalStart) -> LocalSteps:
    own = chosen(start.layout, training.own_layers)
    after = yield from descend(training, begun_with(start, own), start.steps)
    return ended_with(start, after, own)


FED_PER = Strategy(
    keys=FedPer, takes=("updates",), local=_local, personal=kept_layers_in, shows_gradients=False
)
