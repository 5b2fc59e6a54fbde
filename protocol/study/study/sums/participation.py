"""The hospitals of each secure sum of a round, as the study declares them before it begins.

Usually a round is one sum of all hospitals. A study may name *batches* of hospitals that take
turns, or *groups* whose sums a robust rule combines (``robust``). Either way nobody chooses: who is
summed with whom follows from the study and the round's number, and every hospital computes it too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import Field

from protocol.study.frozen_model import FrozenModel
from protocol.study.study.names import Name

#: Names of hospitals that are summed together.
SiteNames: TypeAlias = tuple[Name, ...]
#: Fewer hospitals do not hide each other in a sum.
LEAST_SITES = 3


class SiteBatches(FrozenModel):
    """Batches of hospitals that take turns: training round r, from 0, is of batch r mod number.

    A hospital may be in several batches. It pays the rounds of its batches, and no others. The
    evaluation is of all hospitals.
    """

    batches: tuple[SiteNames, ...] = Field(min_length=1, max_length=256)

    def of_round(self, number: int) -> SiteNames:
        """Returns the hospitals of a training round, which counts from 0."""
        return self.batches[number % len(self.batches)]

    def rounds_of(self, site: str, rounds: int) -> int:
        """Returns how many of so many rounds a hospital takes part in."""
        whole, rest = divmod(rounds, len(self.batches))
        return sum(
            whole + (place < rest) for place, batch in enumerate(self.batches) if site in batch
        )


@dataclass(frozen=True, kw_only=True)
class SumOfSites:
    """One secure sum of a round: its hospitals, sorted, and t, how many of them must answer."""

    sites: tuple[str, ...]
    threshold: int

    @classmethod
    def over(cls, sites: Sequence[str]) -> "SumOfSites":
        """Returns the sum of some hospitals, with the threshold floor(2n/3) + 1."""
        return cls(sites=tuple(sorted(sites)), threshold=2 * len(sites) // 3 + 1)

    def bears(self, colluders: int) -> bool:
        """Whether an update stays hidden while so many of its hospitals collude."""
        n, t = len(self.sites), self.threshold
        return t <= n and 2 * t > n + colluders and t - colluders >= 2

    def problems(self, what: str, *, colluders: int, min_sites: int) -> Iterator[str]:
        """Yields why no secure sum can be of these hospitals.

        Args:
            what: how the sum is called.
            colluders: C.
            min_sites: the fewest hospitals that the study allows in a sum.
        """
        n = len(self.sites)
        if n < LEAST_SITES:
            yield f"{what} has {n} hospitals: a secure sum needs at least {LEAST_SITES}"
        elif not self.bears(colluders):
            yield (
                f"{what} has {n} hospitals, of which {self.threshold} must answer: with C = "
                f"{colluders} colluders 2t > n + C and t - C >= 2 must hold; lower "
                "aggregation.colluders, or name more hospitals"
            )
        if min_sites > n:
            yield f"{what} has {n} hospitals, and aggregation.min_sites asks for {min_sites}"
