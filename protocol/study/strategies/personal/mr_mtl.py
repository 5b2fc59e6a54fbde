"""A model for each hospital, drawn to the mean of all: lambda lies between alone and averaged.

Each hospital goes on from its own model of the round before, and is pulled towards the round's
global model; the global model is the mean of the hospitals' models. With ``pull`` 0 each learns
alone; the larger it is, the nearer are all to one model. The own model is made of the gradients
that the update is made of: it costs nothing more.

Source: Liu et al. 2022 (NeurIPS), arXiv 2206.07902, algorithm 1 (mean-regularised multi-task
learning).
"""

from collections.abc import Iterator
from typing import Literal

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


class MrMtl(Training):
    """A model for each hospital; ``pull`` is lambda, ``momentum`` that of local steps."""

    strategy: Literal["mrmtl"]
    pull: float = Field(default=0.1, ge=0, le=1e3)


def _local(training: MrMtl, start: LocalStart) -> LocalSteps:
    after = yield from descend(
        training,
        start.own.get(OWN_MODEL, start.parameters),
        start.steps,
        pull=pulled_to(start.parameters, training.pull),
    )
    return LocalEnd(update=after - start.parameters, own={OWN_MODEL: after})


def _problems(training: MrMtl, _privacy: Privacy) -> Iterator[Problem]:
    yield from pull_problems("pull", training.pull, training)


MR_MTL = Strategy(
    keys=MrMtl,
    takes=("updates",),
    local=_local,
    personal=kept_model,
    problems=_problems,
    carries=False,  # the update leads from the global model to the own one, which goes on anyway
)
