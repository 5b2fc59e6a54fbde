"""Local steps that are corrected for how a hospital's gradients differ from everybody's.

A hospital keeps its control variate c_i, the mean of the gradients that its last round's steps
took, and the server's c travels with the model. With x the round's model, y_i the hospital's
after K steps at rate r:

    c_i+ - c_i = (x - y_i) / (K r) - c

Of this difference the server needs the mean over the hospitals only, which follows from their mean
update. So nothing beside the update is sent, nothing else is clipped, noised or paid for, and c_i,
made of noised gradients, stays in the hospital. Of a parameter that a round does not send,
neither moves: so c stays the mean of the c_i.

Source: Karimireddy et al. 2020 (ICML), arXiv 1910.06378, algorithm 1, option II; with the server's
step at rate 1, and equal control variates weighted like the updates.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from protocol.study.privacy import Privacy
from protocol.study.strategies.local_steps import LocalEnd, LocalStart, LocalSteps, descend
from protocol.study.strategies.strategy import Mean, Problem, ServerState, Strategy
from protocol.study.strategies.training import Training

#: The server's control variate: a slot of its state that travels with the model.
CONTROL = "control"
_OWN = "control"


class Scaffold(Training):
    """Averaging with control variates against client drift."""

    strategy: Literal["scaffold"]


def _local(training: Scaffold, start: LocalStart) -> LocalSteps:
    none = np.zeros(start.parameters.size)
    own, everybody = start.own.get(_OWN, none), start.sent.get(CONTROL, none)
    after = yield from descend(
        training, start.parameters, start.steps, pull=lambda _parameters: everybody - own
    )
    update = start.sent_of(after - start.parameters)
    moved = -update / (start.steps * training.learning_rate) - everybody
    if start.coordinates is not None:  # of what is not sent the server's c does not move either
        still = np.ones(update.size, dtype=bool)
        still[start.coordinates] = False
        moved[still] = 0.0
    return LocalEnd(update=update, own={_OWN: own + moved})


def _apply(training: Scaffold, state: ServerState, mean: Mean) -> ServerState:
    control = state.slots.get(CONTROL, np.zeros_like(mean.update))
    moved = -mean.update / (training.local_steps * training.learning_rate) - control
    return state.moved(mean.update, {CONTROL: control + mean.attendance * moved})


def _problems(training: Scaffold, privacy: Privacy) -> Iterator[Problem]:
    if training.momentum:
        yield (
            "training.momentum",
            "scaffold takes its control variates from plain steps: leave momentum out",
        )
    if privacy.adaptive_clip is not None:
        yield (
            "privacy.adaptive_clip",
            "scaffold has a fixed clip: leave adaptive_clip out",
        )


SCAFFOLD = Strategy(
    keys=Scaffold,
    takes=("updates",),
    apply=_apply,
    local=_local,
    sends=(CONTROL,),
    carries=False,  # an update of two rounds' steps would be read as longer gradients
    problems=_problems,
)
