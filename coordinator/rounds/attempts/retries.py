"""Another attempt of a round that failed: who takes part in it, and which draw is summed.

Three cases, by what the failed attempt has cost (``protocol.secagg.context``, rule 5):

* *Nobody was asked to reveal.* The same noised vectors are masked again, at no
  charge, without the sites that answered wrongly.
* *They were asked to reveal.* The same vectors may be summed among exactly the
  same sites only, which is tried once more; then they are drawn anew.
* *The sum was noise.* They are drawn anew, without some of the sites: one after
  the other where draws are free, else as many at once as can be spared.

A new draw is taken from the few that the study pays for; without one the round
has failed. A round is begun ``most`` times at most; where draws are free, after
noise, once more for each site.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from coordinator.rounds.attempts.standing import Standing
from protocol.errors import DrawSpent, FederationError, RunLost, SumRefused

#: How a site refuses that cannot give a draw.
_SPENT = DrawSpent.__name__
_REVEALED = "not among those who were asked to reveal this draw"


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A round's earlier progress: its attempts, the newest draw, and the sites to reveal that."""

    attempts: int = 0
    draw: int = 0
    among: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt: its numbers, who is left out and why, and how many sites it needs."""

    number: int
    draw: int
    without: Mapping[str, str]
    least: int


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A failed attempt, and the cause of its failure.

    ``survivors`` are the sites whose vectors are in the sum, once that is
    decided; ``revealing`` says whether they were asked to reveal it.
    """

    error: FederationError
    survivors: frozenset[str] = frozenset()
    revealing: bool = False
    culprits: Mapping[str, str] = field(default_factory=dict)
    complaints: Mapping[str, str] = field(default_factory=dict)
    refusals: Mapping[str, str] = field(default_factory=dict)


class Attempts:
    """The attempts of one round.

    Args:
        standing: what the run knows about its sites; it learns from each failure.
        number: which round.
        most: how often it is begun.
        spare: how many further draws the study pays for; None where they are free.
        begun: how far it came before, in a process that was killed or has waited.
    """

    def __init__(
        self,
        standing: Standing,
        *,
        number: int,
        most: int,
        spare: int | None,
        begun: Begun = Begun(),
    ) -> None:
        self._standing, self._round = standing, number
        self._number, self._most = begun.attempts, begun.attempts + most
        self._draw, self._spare, self._among = begun.draw, spare, begun.among
        #: After noise: whom the present attempt leaves out, and whom the next ones.
        self._trying: frozenset[str] | None = None
        self._line: list[frozenset[str]] = []

    @property
    def now(self) -> Attempt:
        """The attempt that is due."""
        standing = self._standing
        turns = standing.turns(self._round, free=self._spare is None)
        without = standing.out(turns if self._trying is None else [self._trying])
        least = standing.least
        if self._among is not None:
            outside = standing.sites - self._among - without.keys()
            without, least = without | dict.fromkeys(outside, _REVEALED), len(self._among)
        return Attempt(number=self._number, draw=self._draw, without=without, least=least)

    @property
    def is_lost(self) -> bool:
        """Whether too few sites are left for any attempt, now or later."""
        return self._standing.is_lost

    @property
    def suspects(self) -> frozenset[str]:
        """The sites that the sums of noise cannot tell apart; empty when this round had none."""
        return frozenset() if self._trying is None else self._standing.suspects

    def fail(self, failed: Failed) -> bool:
        """Takes note of a failed attempt; returns whether there is another.

        Raises:
            RunLost: no attempt of this round can succeed, now or later.
        """
        self._number += 1
        self._standing.note(failed.culprits, failed.complaints)
        if isinstance(failed.error, SumRefused):
            return self._after_noise(failed.survivors)
        if self._number >= self._most:
            return False
        if self._is_spent(failed):
            return self._is_redrawn(failed)
        if failed.revealing:
            self._among = failed.survivors
        return True

    def end_with_others(self) -> None:
        """Takes note of an attempt that ended for want of the round's other sums: it is no try."""
        self._number, self._most = self._number + 1, self._most + 1

    def succeed(self) -> None:
        """Takes note that the sum was honest, and without whom, if others had been noise."""
        if self._trying is not None:
            self._standing.spared = self._trying

    def _is_spent(self, failed: Failed) -> bool:
        """Whether the present draw cannot be summed any more."""
        if self._among is not None or _SPENT in failed.refusals.values():
            return True
        return failed.revealing and not failed.survivors.isdisjoint(self._standing.named)

    def _is_redrawn(self, failed: Failed) -> bool:
        """Goes on to a new draw, if one is left."""
        if self._spare == 0:
            self._require_possible(failed)
            return False
        if self._spare is not None:
            self._spare -= 1
        self._draw, self._among = self._draw + 1, None
        return True

    def _require_possible(self, failed: Failed) -> None:
        """Requires enough sites that still hold the present draw, where no new one is taken."""
        lost = sorted(site for site, kind in failed.refusals.items() if kind == _SPENT)
        if not failed.survivors and not self._standing.leaves_enough(self._standing.named, lost):
            raise RunLost(
                f"{', '.join(lost)} cannot give the noised vectors of this round again, and no "
                "spare draw is left (aggregation.spare_draws): this run cannot be finished"
            )

    def _after_noise(self, survivors: frozenset[str]) -> bool:
        standing, free = self._standing, self._spare is None
        standing.note_noise(survivors)
        if self._trying is None:
            self._line = self._groups(survivors, 1 if free else len(survivors) - standing.least)
            self._most += len(self._line) if free else 0
        while self._line and self._number < self._most:
            self._trying = self._line.pop(0)
            if standing.leaves_enough(standing.named, self._trying):
                return self._is_redrawn(Failed(error=SumRefused(), survivors=survivors))
        self._trying = self._trying or frozenset()  # there was noise, so there are suspects
        return False

    def _groups(self, survivors: frozenset[str], size: int) -> list[frozenset[str]]:
        """Returns whom to leave out after a sum over these survivors was noise, in order."""
        turn, size = self._standing.in_turn(self._standing.suspects), max(1, size)
        groups = [frozenset(turn[at : at + size]) for at in range(0, len(turn), size)]
        known = self._standing.spared
        if known.isdisjoint(survivors):  # noise without them too: there is another wrong mask
            return [known | group for group in groups]
        return [known, *(group for group in groups if group != known)]
