"""A hospital's part of a training round, as a rule that sees gradients and nothing else.

A rule is a generator: it yields the parameters at which it wants a gradient, is sent that
gradient, and returns how its round ends. The trainer draws the patients, clips and noises each
gradient before the rule is sent it, and counts how many it asks for. So whatever a rule computes
of them, an update that is sent or a model that stays in the hospital, is post-processing, and
costs what its gradients cost.

What a hospital keeps from round to round is its *own state*: arrays by name, (size,) each. It
never leaves the hospital.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.strategies.training import Training
from protocol.vectors.fixed_point import shortened
from protocol.vectors.tensors import Layout

Floats: TypeAlias = NDArray[np.float64]
#: A hospital's own arrays, by name.
OwnState: TypeAlias = Mapping[str, Floats]


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalStart:
    """The start of a hospital's round.

    Attributes:
        layout: of the parameters.
        parameters: the global ones, (size,).
        round: which, from 0.
        steps: how many local steps this hospital takes.
        bound: the L2 norm to which the secure sum shortens its update.
        own: its state after the last round of this run that it had a part in; empty at first.
        sent: the server's arrays that travel beside the parameters, (size,) each, by name.
        coordinates: the rising places of the parameters of which the round sends the update; None
            where it sends all.
    """

    layout: Layout
    parameters: Floats
    round: int
    steps: int
    bound: float
    own: OwnState = field(default_factory=dict)
    sent: Mapping[str, Floats] = field(default_factory=dict)
    coordinates: NDArray[np.int64] | None = None

    def sent_of(self, update: Floats) -> Floats:
        """Returns an update as it counts for the sum: 0 where it is not sent, then shortened."""
        if self.coordinates is None:
            return shortened(update, self.bound)
        found = np.zeros(update.size)
        found[self.coordinates] = shortened(update[self.coordinates], self.bound)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalEnd:
    """The end of a hospital's round: its update, (size,), and its own state after it."""

    update: Floats
    own: OwnState = field(default_factory=dict)


#: The array of an own state that holds what of earlier updates was not sent yet.
UNSENT = "unsent"


def with_unsent(start: LocalStart, end: LocalEnd) -> LocalEnd:
    """Returns the end of a round whose update has with it what earlier rounds did not send.

    What this round does not send waits in the own state. All of it is made of noised gradients, so
    it may be sent in any round. A round without an update sends none of it: all goes on waiting.
    """
    carried = start.own.get(UNSENT)
    if not end.update.any():
        return end if carried is None else replace(end, own={**end.own, UNSENT: carried})
    if start.coordinates is None and carried is None:
        return end
    update = end.update if carried is None else end.update + carried
    if start.coordinates is None:
        return LocalEnd(update=update, own=end.own)
    unsent = update.copy()
    unsent[start.coordinates] = 0.0
    return LocalEnd(update=update, own={**end.own, UNSENT: unsent} if unsent.any() else end.own)


#: Yields parameters, is sent the gradient there, and returns the end of the round.
LocalSteps: TypeAlias = Generator[Floats, Floats, LocalEnd]
#: From the study's section ``training`` and a start to the steps of a round.
LocalRule: TypeAlias = Callable[[Any, LocalStart], LocalSteps]
#: From ``training``, the layout, the final global parameters and a hospital's own state to its own
#: model's parameters, (size,).
PersonalRule: TypeAlias = Callable[[Any, Layout, Floats, OwnState], Floats]


#: The array of an own state that is a hospital's own model.
OWN_MODEL = "model"


def kept_model(_training: Training, _layout: Layout, final: Floats, own: OwnState) -> Floats:
    """Returns the own model that a hospital kept, else the final global one: a personal rule."""
    return own.get(OWN_MODEL, final)


def pulled_to(parameters: Floats, weight: float) -> Callable[[Floats], Floats]:
    """Returns the gradient of ``weight`` / 2 times the squared distance from these parameters."""
    return lambda at: weight * (at - parameters)


def ended(rule: LocalSteps, gradient: Callable[[int, Floats], Floats]) -> LocalEnd:
    """Returns the end of a rule's round; ``gradient`` is given the number of the asking, from 0."""
    wanted, number = next(rule), 0
    while True:
        try:
            wanted = rule.send(gradient(number, wanted))
        except StopIteration as stopped:
            end: LocalEnd = stopped.value
            return end
        number += 1


def descend(
    training: Training,
    parameters: Floats,
    steps: int,
    pull: Callable[[Floats], Floats | float] | None = None,
) -> Generator[Floats, Floats, Floats]:
    """Takes steps of gradient descent with momentum, and returns the parameters after them.

    Args:
        training: its learning rate and momentum.
        parameters: where the steps begin, (size,).
        steps: how many.
        pull: what is added to the gradient at given parameters; nothing when None.
    """
    parameters, velocity = parameters.copy(), np.zeros(parameters.size)
    for _ in range(steps):
        gradient = yield parameters
        if pull is not None:
            gradient = gradient + pull(parameters)
        velocity = training.momentum * velocity + gradient
        parameters = parameters - training.learning_rate * velocity
    return parameters


def pull_problems(key: str, weight: float, training: Training) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with a pull that moves parameters past where it pulls them to."""
    share = weight * training.learning_rate
    if share >= 1:
        yield (
            f"training.{key}",
            f"{key} x learning_rate is {share:g}: a step would move by that part of the distance "
            "to the global model, past it; keep it below 1",
        )


def plain_steps(training: Training, start: LocalStart) -> LocalSteps:
    """Takes local steps from the global parameters; nothing is kept."""
    after = yield from descend(training, start.parameters, start.steps)
    return LocalEnd(update=after - start.parameters)


def steps_at_home(training: Training, start: LocalStart) -> LocalSteps:
    """Takes local steps from the own model, at first from the global one; the update is 0."""
    after = yield from descend(training, start.own.get(OWN_MODEL, start.parameters), start.steps)
    return LocalEnd(update=np.zeros(start.parameters.size), own={OWN_MODEL: after})


def own_rounds_problems(own_rounds: int, training: Training) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with last rounds at home before which nobody trains together."""
    if own_rounds >= training.rounds:
        yield "training.own_rounds", f"no round is left of {training.rounds} to train together"
