"""Federated averaging: the mean of the sites' models becomes the model.

Source: McMahan et al. 2017, arXiv 1602.05629, algorithm 1. Averaging the models and adding
the averaged differences is the same sum.
"""

from typing import Literal

from protocol.study.strategies.strategy import Strategy
from protocol.study.strategies.training import Training


class FedAvg(Training):
    """Federated averaging; ``momentum`` is that of a site's local steps."""

    strategy: Literal["fedavg"] = "fedavg"


FED_AVG = Strategy(keys=FedAvg, takes=("updates",))
