"""Federated averaging, then rounds in which each hospital trains the global model further at home.

In the last ``own_rounds`` rounds nothing is added to the global model: a hospital's update is 0,
and its local steps go on from its own model. A patient pays for them like for any others.

Source: Yu, Bagdasaryan & Shmatikov 2020, arXiv 2002.04758, section 4.1.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from protocol.study.privacy import Privacy
from protocol.study.strategies.local_steps import (
    OWN_MODEL,
    LocalEnd,
    LocalStart,
    LocalSteps,
    descend,
    kept_model,
)
from protocol.study.strategies.strategy import Problem, Strategy
from protocol.study.strategies.training import Training


class FineTuning(Training):
    """Averaging, and at the end ``own_rounds`` rounds for each hospital's own model."""

    strategy: Literal["finetuning"]
    own_rounds: int = Field(default=1, ge=1, le=10_000)


def _local(training: FineTuning, start: LocalStart) -> LocalSteps:
    if start.round < training.rounds - training.own_rounds:
        after = yield from descend(training, start.parameters, start.steps)
        return LocalEnd(update=after - start.parameters)
    after = yield from descend(training, start.own.get(OWN_MODEL, start.parameters), start.steps)
    return LocalEnd(update=np.zeros(start.parameters.size), own={OWN_MODEL: after})


def _problems(training: FineTuning, _privacy: Privacy) -> Iterator[Problem]:
    if training.own_rounds >= training.rounds:
        yield "training.own_rounds", f"no round is left of {training.rounds} to train together"


FINE_TUNING = Strategy(
    keys=FineTuning,
    takes=("updates",),
    local=_local,
    personal=kept_model,
    problems=_problems,
    shows_gradients=False,
)
