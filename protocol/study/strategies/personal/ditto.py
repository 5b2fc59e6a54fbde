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
    Floats,
    LocalEnd,
    LocalStart,
    LocalSteps,
    OwnState,
    descend,
    pull_problems,
)
from protocol.study.strategies.strategy import Problem, Strategy
from protocol.study.strategies.training import Training
from protocol.vectors.tensors import Layout

_OWN = "model"


class Ditto(Training):
    """Averaging with a model for each hospital; ``pull`` is the source's lambda."""

    gradients_per_step: ClassVar[int] = 2
    strategy: Literal["ditto"]
    pull: float = Field(default=0.1, ge=0, le=1e3)


def _local(training: Ditto, start: LocalStart) -> LocalSteps:
    after = yield from descend(training, start.parameters, start.steps)
    own = yield from descend(
        training,
        start.own.get(_OWN, start.parameters),
        start.steps,
        pull=lambda parameters: training.pull * (parameters - start.parameters),
    )
    return LocalEnd(update=after - start.parameters, own={_OWN: own})


def _personal(_training: Ditto, _layout: Layout, final: Floats, own: OwnState) -> Floats:
    return own.get(_OWN, final)


def _problems(training: Ditto, _privacy: Privacy) -> Iterator[Problem]:
    yield from pull_problems("pull", training.pull, training)


DITTO = Strategy(
    keys=Ditto, takes=("updates",), local=_local, personal=_personal, problems=_problems
)
