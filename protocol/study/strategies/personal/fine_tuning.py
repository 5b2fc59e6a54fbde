"""Federated averaging, then rounds in which each hospital trains the global model further at home.

In the last ``own_rounds`` rounds nothing is added to the global model: a hospital's update is 0,
and its local steps go on from its own model. A patient pays for them like for any others.

Source: Yu, Bagdasaryan & Shmatikov 2020, arXiv 2002.04758, section 4.1.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from protocol.study.privacy import Privacy
from protocol.study.strategies.local_steps import (
    LocalStart,
    LocalSteps,
    kept_model,
    own_rounds_problems,
    plain_steps,
    steps_at_home,
)
from protocol.study.strategies.strategy import Problem, Strategy
from protocol.study.strategies.training import Training


class FineTuning(Training):
    """Averaging, and at the end ``own_rounds`` rounds for each hospital's own model."""

    strategy: Literal["finetuning"]
    own_rounds: int = Field(default=1, ge=1, le=10_000)


def _local(training: FineTuning, start: LocalStart) -> LocalSteps:
    together = start.round < training.rounds - training.own_rounds
    return plain_steps(training, start) if together else steps_at_home(training, start)


def _problems(training: FineTuning, _privacy: Privacy) -> Iterator[Problem]:
    yield from own_rounds_problems(training.own_rounds, training)


FINE_TUNING = Strategy(
    keys=FineTuning,
    takes=("updates",),
    local=_local,
    personal=kept_model,
    problems=_problems,
    shows_gradients=False,
)
