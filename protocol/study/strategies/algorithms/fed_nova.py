"""Federated averaging in which hospitals that take more local steps count no more for it.

Each update is divided by the hospital's number of steps before it is averaged, and the mean is
multiplied by the mean number of steps: so hospitals may take different numbers of steps
(``sites[].local_steps``), and the model still goes to the minimum of the weighted objective.

Source: Wang et al. 2020 (NeurIPS), arXiv 2007.07481, section 4, for plain gradient descent.
"""

from collections.abc import Iterator
from typing import Literal

from protocol.study.privacy import Privacy
from protocol.study.strategies.local_steps import LocalEnd, LocalStart, LocalSteps, descend
from protocol.study.strategies.strategy import Mean, Problem, ServerState, Strategy
from protocol.study.strategies.training import Training


class FedNova(Training):
    """Normalised averaging; ``local_steps`` is the most that a hospital takes."""

    strategy: Literal["fednova"]


def _local(training: FedNova, start: LocalStart) -> LocalSteps:
    after = yield from descend(training, start.parameters, start.steps)
    normalised = training.local_steps / start.steps
    return LocalEnd(update=(after - start.parameters) * normalised)


def _apply(training: FedNova, state: ServerState, mean: Mean) -> ServerState:
    return state.moved(mean.update * (mean.local_steps / training.local_steps))


def _problems(training: FedNova, _privacy: Privacy) -> Iterator[Problem]:
    if training.momentum:
        yield (
            "training.momentum",
            "fednova divides an update by the number of plain steps: leave momentum out",
        )


FED_NOVA = Strategy(
    keys=FedNova, takes=("updates",), apply=_apply, local=_local, problems=_problems
)
