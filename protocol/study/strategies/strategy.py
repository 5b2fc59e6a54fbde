"""The record that declares a strategy, and what its server step is given and returns.

A strategy is declared in one place for both institutions: a hospital needs its study keys,
its rules and its scalars; the coordinator, and everybody who recomputes a round, needs its
server step. All of it is pure arithmetic on flat arrays, in the manner of FedJAX.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from protocol.study.frozen_model import FrozenModel
from protocol.study.privacy import Privacy
from protocol.vectors.tensors import Layout
from protocol.vectors.update import Scalar, UpdateVector

#: Where in a study something is wrong, and what.
Problem: TypeAlias = tuple[str, str]


class Training(FrozenModel):
    """The training section of a study; what changes only speed is not part of it.

    A strategy's own record names it, and may add keys. The released model is the mean of the
    models of the last ``average_last`` rounds. No round at all is of a statistics study, which
    leaves the section out. ``micro_batch`` counts patients: fixed, so that a
    result never depends on the machine.
    """

    strategy: str
    rounds: Annotated[int, Field(ge=0, le=10_000)]
    local_steps: Annotated[int, Field(ge=1, le=10_000)]
    learning_rate: Annotated[float, Field(gt=0, le=1e6)]
    momentum: float = Field(default=0.0, ge=0, lt=1)
    average_last: int = Field(default=1, ge=1, le=10_000, exclude_if=lambda rounds: rounds == 1)
    micro_batch: int = Field(default=64, ge=1, le=4096)

    @property
    def steps(self) -> int:
        """Every gradient step a site takes: rounds x local steps."""
        return self.rounds * self.local_steps


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

    ``update`` is (size,): a mean update, or a mean gradient, as ``Strategy.takes`` says;
    ``scalars`` are by name; ``bound`` is the L2 norm to which every update was shortened.
    """

    update: NDArray[np.float64]
    scalars: Mapping[str, float]
    bound: float


def _no_problem(_training: Training, _privacy: Privacy) -> Iterable[Problem]:
    return ()


def _remembers_nothing(_training: Training) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """One way to learn from the mean of a round's updates.

    Attributes:
        keys: the section ``training`` of a study that names this strategy.
        takes: ``updates`` after a round's local steps, or the ``gradients`` of one step
            under distributed noise.
        apply: the server step: a pure function of the keys, the state and the mean.
        scalars: what it needs of every update beside the mean, by name: see
            ``protocol.vectors.update``.
        problems: what is wrong with a study that names it, by (path, sentence).
        remembers: whether a round depends on more than the model before it.
    """

    keys: type[Training]
    takes: Literal["updates", "gradients"]
    apply: Callable[[Any, ServerState, Mean], ServerState]
    scalars: Mapping[str, Scalar] = field(default_factory=dict)
    problems: Callable[[Any, Privacy], Iterable[Problem]] = _no_problem
    remembers: Callable[[Any], bool] = _remembers_nothing

    def vector(self, parameters: Layout) -> UpdateVector:
        """Returns how an update of these parameters travels through the secure sum."""
        return UpdateVector(parameters=parameters, scalars=self.scalars)
