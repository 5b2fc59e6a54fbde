"""Federated averaging of all layers but a head, which each hospital trains first in each round.

Source: Collins et al. 2021 (ICML), arXiv 2102.07078, algorithm 1.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from protocol.study.privacy import Privacy
from protocol.study.strategies.local_steps import LocalStart, LocalSteps
from protocol.study.strategies.own_layers import (
    KeepsLayers,
    begun_with,
    chosen,
    ended_with,
    kept_layers_in,
)
from protocol.study.strategies.strategy import Problem, Strategy


class FedRep(KeepsLayers):
    """The first ``own_steps`` local steps of a round move ``own_layers``, the others the rest."""

    moves_one_model: ClassVar[bool] = False

    strategy: Literal["fedrep"]
    own_steps: int = Field(default=1, ge=1, le=10_000)


def _local(training: FedRep, start: LocalStart) -> LocalSteps:
    own = chosen(start.layout, training.own_layers)
    parameters = begun_with(start, own)
    for step in range(start.steps):
        gradient = yield parameters
        moves = own if step < training.own_steps else ~own
        parameters = parameters - training.learning_rate * moves * gradient
    return ended_with(start, parameters, own)


def _problems(training: FedRep, _privacy: Privacy) -> Iterator[Problem]:
    if training.own_steps >= training.local_steps:
        yield (
            "training.own_steps",
            f"no step is left of {training.local_steps} for the common layers",
        )
    if training.momentum:
        yield "training.momentum", "fedrep takes plain steps: leave momentum out"


FED_REP = Strategy(
    keys=FedRep,
    takes=("updates",),
    local=_local,
    personal=kept_layers_in,
    problems=_problems,
    shows_gradients=False,
)
