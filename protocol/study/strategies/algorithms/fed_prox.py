"""Federated averaging whose local steps are pulled back to where the round began.

Source: Li et al. 2020 (MLSys), arXiv 1812.06127, algorithm 2.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from protocol.study.privacy import Privacy
from protocol.study.strategies.local_steps import (
    LocalEnd,
    LocalStart,
    LocalSteps,
    descend,
    pull_problems,
    pulled_to,
)
from protocol.study.strategies.strategy import Problem, Strategy
from protocol.study.strategies.training import Training


class FedProx(Training):
    """Averaging with a proximal term of weight ``mu``; ``momentum`` is that of local steps."""

    strategy: Literal["fedprox"]
    mu: float = Field(default=0.01, ge=0, le=1e3)


def _local(training: FedProx, start: LocalStart) -> LocalSteps:
    after = yield from descend(
        training,
        start.parameters,
        start.steps,
        pull=pulled_to(start.parameters, training.mu),
    )
    return LocalEnd(update=after - start.parameters)


def _problems(training: FedProx, _privacy: Privacy) -> Iterator[Problem]:
    yield from pull_problems("mu", training.mu, training)


FED_PROX = Strategy(keys=FedProx, takes=("updates",), local=_local, problems=_problems)
