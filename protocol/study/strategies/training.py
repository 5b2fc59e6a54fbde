"""The keys of the section ``training`` that every strategy has."""

from typing import Annotated, ClassVar

from pydantic import Field

from protocol.study.frozen_model import FrozenModel


class Training(FrozenModel):
    """The training section of a study; what changes only speed is not part of it.

    A strategy's own record names it, and may add keys. The released model is the mean of the
    models of the last ``average_last`` rounds. No round at all is of a study that trains
    nothing, which leaves the section out. With a ``late_discount`` a hospital that missed a round's
    sum adds what it had for it to its next update, times the discount for each round since; without
    one that is lost. ``micro_batch`` counts patients: fixed, so that a result never depends on the
    machine.
    """

    strategy: str
    rounds: Annotated[int, Field(ge=0, le=10_000)]
    local_steps: Annotated[int, Field(ge=1, le=10_000)]
    learning_rate: Annotated[float, Field(gt=0, le=1e6)]
    momentum: float = Field(default=0.0, ge=0, lt=1)
    average_last: int = Field(default=1, ge=1, le=10_000, exclude_if=lambda rounds: rounds == 1)
    late_discount: float | None = Field(
        default=None, gt=0, le=1, exclude_if=lambda discount: discount is None
    )
    micro_batch: int = Field(default=64, ge=1, le=4096)

    #: How often patients are drawn for a gradient in one local step.
    gradients_per_step: ClassVar[int] = 1
    #: Whether all gradients of a round move the same numbers of one model. Else correlated noise
    #: would take back from one model, or layer, what it added to another.
    moves_one_model: ClassVar[bool] = True

    @property
    def kept_layers(self) -> tuple[str, ...]:
        """The layers of the network that stay with each hospital."""
        return ()

    @property
    def gradients_per_round(self) -> int:
        """The number of gradients that a site takes in a round, each noised and paid for."""
        return self.local_steps * self.gradients_per_step

    @property
    def steps(self) -> int:
        """Every gradient that a site takes: rounds x gradients of a round."""
        return self.rounds * self.gradients_per_round
