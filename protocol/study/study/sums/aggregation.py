"""The secure sum of a study, and its public seeds."""

from pydantic import Field

from protocol.study.frozen_model import FrozenModel
from protocol.study.study.names import Seed


class Aggregation(FrozenModel):
    """Secure aggregation: t answers unmask, up to C silos may collude with the coordinator.

    An update is shortened to the L2 norm ``bound`` and sent in units of
    ``2**-frac_bits``; 32 bits for each parameter, or 64 where the sum could wrap
    them. A round is begun ``attempts`` times at most. Once its noised vectors were
    revealed, another attempt needs them drawn anew: ``spare_draws`` such draws of
    a round are priced beforehand, for the whole training. The coordinator keeps the
    masked vectors of the last ``keep_rounds`` rounds, so that anybody can
    recompute their sums.
    """

    threshold: int | None = Field(default=None, ge=2)
    colluders: int = Field(default=1, ge=0)
    min_sites: int = Field(default=3, ge=3)
    bound: float = Field(default=16.0, gt=0, le=1e9)
    frac_bits: int = Field(default=20, ge=4, le=30)
    attempts: int = Field(default=3, ge=1, le=20)
    spare_draws: int = Field(default=1, ge=0, le=20)
    keep_rounds: int = Field(default=2, ge=0, le=1000)


class Seeds(FrozenModel):
    """Public seeds. Noise and keys never come from a seed outside a marked simulation."""

    model: Seed = 0
    split: Seed = 0
