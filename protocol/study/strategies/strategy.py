"""The record that declares a strategy, and what its server step is given and returns.

A strategy is declared in one place for both institutions: a hospital needs its study keys,
its rules and its scalars; the coordinator, and everybody who recomputes a round, needs its
server step. All of it is pure arithmetic on flat arrays, in the manner of FedJAX.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.privacy import Privacy
from protocol.study.strategies.local_steps import LocalRule, PersonalRule, plain_steps
from protocol.study.strategies.training import Training
from protocol.vectors.update import Scalar

#: Where in a study something is wrong, and what.
Problem: TypeAlias = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """The global parameters after some number of rounds: (size,) float32.

    ``slots`` are an optimiser's state, (size,) float64 each.
    """

    parameters: NDArray[np.float32]
    rounds: int = 0
    slots: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def moved(
        self, step: NDArray[np.float64], slots: Mapping[str, NDArray[np.float64]] | None = None
    ) -> "ServerState":
        """Returns the state after one more round, whose parameters lie a (size,) step away."""
        parameters = (self.parameters.astype(np.float64) + step).astype(np.float32)
        return ServerState(parameters=parameters, rounds=self.rounds + 1, slots=slots or {})


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The result of a training round: weighted means over the sites in the sum.

    Attributes:
        update: a mean update, or the mean gradient of one step, of the parameters that were sent.
        scalars: by name.
        bound: the L2 norm to which every update was shortened.
        is_gradient: whether it is a gradient.
        moves_clip: whether its last number is by how much an adaptive clip moves.
        local_steps: the mean of the sites' local steps.
        attendance: the part of all sites' weights that is in the sum.
        coordinates: the rising places of the parameters that were sent; None where all were.
    """

    update: NDArray[np.float64]
    scalars: Mapping[str, float]
    bound: float
    is_gradient: bool = False
    moves_clip: bool = False
    local_steps: float = 1.0
    attendance: float = 1.0
    coordinates: NDArray[np.int64] | None = None

    @property
    def gradient(self) -> NDArray[np.float64]:
        """The mean gradient, or the negative mean update, which a server optimiser takes for it."""
        return self.update if self.is_gradient else -self.update


def add_mean(_training: Training, state: ServerState, mean: Mean) -> ServerState:
    """Returns the state whose parameters are the mean of the sites' models."""
    return state.moved(mean.update)


def _no_problem(_training: Training, _privacy: Privacy) -> Iterable[Problem]:
    return ()


def _remembers_nothing(_training: Training) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """One way to learn from the mean of a round's updates.

    Attributes:
        keys: the section ``training`` of a study that names this strategy.
        takes: what it learns from: ``updates`` after a round's local steps, the ``gradients`` of
            one step under distributed noise, or either.
        apply: the server step: a pure function of the keys, the state and the mean. Where a round
            sends some coordinates only, it is given these of the state, and all else stays.
        local: a hospital's steps of a round; under distributed noise there are none.
        scalars: what it needs of every update beside the mean, by name: see
            ``protocol.vectors.update``.
        problems: what is wrong with a study that names it, by (path, sentence).
        personal: what each hospital's own model is in the end; None where all have the global one.
        sends: the slots of the server's state that travel with the model.
        remembers: whether a round depends on more than the model before it.
        shows_gradients: whether an update holds every noised gradient of its round, in each of its
            numbers. Else a part of them goes into what a hospital keeps.
        carries: whether a hospital adds to its update what earlier rounds did not send of theirs,
            where rounds send some coordinates only. Not where the update tells it anyway, or where
            more is read from an update than where it leads.
    """

    keys: type[Training]
    takes: tuple[Literal["updates", "gradients"], ...]
    apply: Callable[[Any, ServerState, Mean], ServerState] = add_mean
    local: LocalRule = plain_steps
    scalars: Mapping[str, Scalar] = field(default_factory=dict)
    problems: Callable[[Any, Privacy], Iterable[Problem]] = _no_problem
    personal: PersonalRule | None = None
    sends: tuple[str, ...] = ()
    remembers: Callable[[Any], bool] = _remembers_nothing
    carries: bool = True
    shows_gradients: bool = True
