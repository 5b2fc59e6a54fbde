"""The section that says how much a training round sends, and how coarsely."""

from typing import Literal

from pydantic import Field

from protocol.study.frozen_model import FrozenModel
from protocol.vectors.ring_bounds import RINGS


class Communication(FrozenModel):
    """Shorter rounds: a narrower ring, fewer coordinates, and sums in place of models.

    Sums are taken modulo 2 to the power of ``ring_bits``, each number in so many bits; ``auto``
    is the narrowest ring that no sum wraps and whose step is fine enough. Of the parameters that
    hospitals share, ``coordinates`` is the part that a round sends, drawn anew in each round.
    A study without this section sends every shared parameter, in 32 bits or 64, and whole models.
    """

    ring_bits: Literal["auto", 16, 32, 64] = "auto"
    coordinates: float = Field(default=1.0, gt=0, le=1)

    @property
    def rings(self) -> tuple[int, ...]:
        """The rings to be tried, the narrowest first."""
        return RINGS if self.ring_bits == "auto" else (self.ring_bits,)

    def sent(self, shared: int) -> int:
        """Returns how many of the shared parameters a round sends.

        >>> Communication(coordinates=0.5).sent(7), Communication(coordinates=0.01).sent(7)
        (3, 1)
        """
        return max(1, int(shared * self.coordinates))
