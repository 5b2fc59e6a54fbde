"""The mean of the last rounds' models, released in place of the last one.

Every hospital has received each of them, and epsilon pays for all: a mean of them is
post-processing.
"""

from dataclasses import replace

import numpy as np

from protocol.study.strategies.strategy import ServerState
from protocol.study.strategies.training import Training

#: The slot of ``averaged``: the sum of the models so far that it averages.
SUM = "model_sum"


def averaged(training: Training, before: ServerState, after: ServerState) -> ServerState:
    """Returns the state after a round, with the mean of the last rounds' models in the end.

    Args:
        training: says over how many rounds (``average_last``).
        before: the state that the round began with.
        after: the state that the strategy's server step gave.

    Source: Rakhlin, Shamir and Sridharan 2012, arXiv 1109.5647 (suffix averaging).
    """
    count = training.average_last
    if count == 1 or after.rounds <= training.rounds - count:
        return after
    summed = before.slots.get(SUM, 0.0) + after.parameters.astype(np.float64)
    if after.rounds < training.rounds:
        return replace(after, slots={**after.slots, SUM: summed})
    return replace(after, parameters=(summed / count).astype(np.float32))
