"""Federated averaging, and beside it a model for each hospital that is pulled to the global one.

In each local step a patient is drawn for two gradients, one for the update and one for the own
model: both are noised, and both are paid for.

Source: Li et al. 2021 (ICML), arXiv 2012.04221, algorithm 1.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from protocol.study.privacy import Privacy
from protocol.study.strategies.local_steps import (
    OWN_MODEL,
    LocalEnd,
    LocalStart,
    LocalSteps,
    descend,
    kept_model,
    pull_problems,
    pulled_to,
)
from protocol.study.strategies.strategy import Problem, Strategy
from protocol.study.strategies.training import Training


class Ditto(Training):
    """Averaging with a model for each hospital; ``pull`` is the source's lambda."""

    gradients_per_step: ClassVar[int] = 2
    moves_one_model: ClassVar[bool] = False
    strategy: Literal["ditto"]
    pull: float = Field(default=0.1, ge=0, le=1e3)


def _local(training: Ditto, start: LocalStart) -> LocalSteps:
    after = yield from descend(training, start.parameters, start.steps)
    own = yield from descend(
        training,
        start.own.get(OWN_MODEL, start.parameters),
        start.steps,
        pull=pulled_to(start.parameters, training.pull),
    )
    return LocalEnd(update=after - start.parameters, own={OWN_MODEL: own})


def _problems(training: Ditto, _privacy: Privacy) -> Iterator[Problem]:
    yield from pull_problems("pull", training.pull, training)


DITTO = Strategy(
    keys=Ditto,
    takes=("updates",),
    local=_local,
    personal=kept_model,
    problems=_problems,
    shows_gradients=False,
)
