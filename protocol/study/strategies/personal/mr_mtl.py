"""A model for each hospital, drawn to the mean of all: lambda lies between alone and averaged.

Each hospital goes on from its own model of the round before, and is pulled towards the round's
global model; the global model is the mean of the hospitals' models. With ``pull`` 0 each learns
alone; the larger it is, the nearer are all to one model. In the end the own model goes
``last_pull`` of the way to the mean of the last round, which has less noise than one hospital's
last steps. The own model is made of the gradients that the update is made of, and of sums: it
costs nothing more.

Source: Liu et al. 2022 (NeurIPS), arXiv 2206.07902, algorithm 1 (mean-regularised multi-task
learning), which ends with local steps (``last_pull`` 0).
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from protocol.study.privacy import Privacy
from protocol.study.strategies.local_steps import (
    OWN_MODEL,
    Floats,
    LocalEnd,
    LocalStart,
    LocalSteps,
    OwnState,
    descend,
    kept_model,
    pull_problems,
    pulled_to,
)
from protocol.study.strategies.strategy import Problem, Strategy
from protocol.study.strategies.training import Training
from protocol.vectors.tensors import Layout


class MrMtl(Training):
    """A model for each hospital; ``pull`` is lambda, ``momentum`` that of local steps."""

    strategy: Literal["mrmtl"]
    pull: float = Field(default=0.1, ge=0, le=1e3)
    last_pull: float = Field(default=0.0, ge=0, le=1, exclude_if=lambda part: part == 0)


def _local(training: MrMtl, start: LocalStart) -> LocalSteps:
    after = yield from descend(
        training,
        start.own.get(OWN_MODEL, start.parameters),
        start.steps,
        pull=pulled_to(start.parameters, training.pull),
    )
    return LocalEnd(update=after - start.parameters, own={OWN_MODEL: after})


def _personal(training: MrMtl, layout: Layout, final: Floats, own: OwnState) -> Floats:
    kept = kept_model(training, layout, final, own)
    return kept + training.last_pull * (final - kept)


def _problems(training: MrMtl, _privacy: Privacy) -> Iterator[Problem]:
    yield from pull_problems("pull", training.pull, training)


MR_MTL = Strategy(
    keys=MrMtl,
    takes=("updates",),
    local=_local,
    personal=_personal,
    problems=_problems,
    carries=False,  # the update leads from the global model to the own one, which goes on anyway
)
