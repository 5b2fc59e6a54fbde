"""Federated averaging, and a mixture of the global model with one that the hospital trains alone.

In each local step a patient is drawn for two gradients: both are noised, and both are paid for.

Source: Mansour et al. 2020, arXiv 2002.10619, section 5 (model interpolation), with one declared
share for all hospitals.
"""

from typing import ClassVar, Literal

from pydantic import Field

from protocol.study.strategies.local_steps import (
    Floats,
    LocalEnd,
    LocalStart,
    LocalSteps,
    OwnState,
    descend,
)
from protocol.study.strategies.strategy import Strategy
from protocol.study.strategies.training import Training
from protocol.vectors.tensors import Layout

_ALONE = "alone"


class Interpolation(Training):
    """Averaging and a model trained alone; ``own_share`` is the latter's part of the mixture."""

    gradients_per_step: ClassVar[int] = 2
    moves_one_model: ClassVar[bool] = False
    strategy: Literal["interpolation"]
    own_share: float = Field(default=0.5, ge=0, le=1)


def _local(training: Interpolation, start: LocalStart) -> LocalSteps:
    after = yield from descend(training, start.parameters, start.steps)
    alone = yield from descend(training, start.own.get(_ALONE, start.parameters), start.steps)
    return LocalEnd(update=after - start.parameters, own={_ALONE: alone})


def _personal(training: Interpolation, _layout: Layout, final: Floats, own: OwnState) -> Floats:
    return training.own_share * own.get(_ALONE, final) + (1 - training.own_share) * final


INTERPOLATION = Strategy(
    keys=Interpolation, takes=("updates",), local=_local, personal=_personal, shows_gradients=False
)
