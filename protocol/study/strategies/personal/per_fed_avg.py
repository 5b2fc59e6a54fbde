"""An initial model from which each hospital gets far with a few steps of its own.

A local step takes the gradient at where one gradient step of rate ``own_rate`` leads to, without
the second derivatives (first order). In the last ``own_rounds`` rounds nothing is added to the
global model, and each hospital takes plain steps from it. In each local step a patient is drawn
for two gradients: both are noised, and both are paid for.

Source: Fallah, Mokhtari & Ozdaglar 2020 (NeurIPS), arXiv 2002.07948, algorithm 1 with the
first-order approximation of section 5.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from protocol.study.privacy import Privacy
from protocol.study.strategies.local_steps import (
    LocalEnd,
    LocalStart,
    LocalSteps,
    kept_model,
    own_rounds_problems,
    steps_at_home,
)
from protocol.study.strategies.strategy import Problem, Strategy
from protocol.study.strategies.training import Training


class PerFedAvg(Training):
    """Meta-learning by first-order steps; ``own_rate`` is the rate of the inner step."""

    gradients_per_step: ClassVar[int] = 2
    moves_one_model: ClassVar[bool] = False
    strategy: Literal["perfedavg"]
    own_rate: float = Field(default=0.01, gt=0, le=1e3)
    own_rounds: int = Field(default=1, ge=1, le=10_000)


def _local(training: PerFedAvg, start: LocalStart) -> LocalSteps:
    if start.round >= training.rounds - training.own_rounds:
        return (yield from steps_at_home(training, start))
    parameters = start.parameters.copy()
    for _ in range(start.steps):
        inner = yield parameters
        outer = yield parameters - training.own_rate * inner
        parameters = parameters - training.learning_rate * outer
    return LocalEnd(update=parameters - start.parameters)


def _problems(training: PerFedAvg, _privacy: Privacy) -> Iterator[Problem]:
    yield from own_rounds_problems(training.own_rounds, training)
    if training.momentum:
        yield "training.momentum", "perfedavg takes plain steps: leave momentum out"


PER_FED_AVG = Strategy(
    keys=PerFedAvg,
    takes=("updates",),
    local=_local,
    personal=kept_model,
    problems=_problems,
    shows_gradients=False,
)
