"""The sites left out of a run's rounds, by what its failed attempts have shown.

Rules:

1. A site that answered wrongly is out for the rest of the run, the evaluation
   included. Where too few are left without it, the run cannot be finished.
2. Of a site that complains about another's shares and the one it accuses, one
   lies: both are left out, or the accusers alone where both cannot be spared, or
   the accused alone where there are too many accusers.
3. A sum that was noise holds at least one wrong mask, and does not show whose.
   The *suspects* are the sites that were in every such sum: these sums cannot
   tell them apart, and nobody of them is accused. Left out are those without
   whom the sum was honest. Where draws are free, each suspect is let in again
   without the others, in turn, when enough sites are left.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from protocol.encoding import digest
from protocol.errors import RunLost

#: Why a site has no part in an attempt, as the round's record says it.
NAMED, DISPUTED, SUSPECTED = "answered wrongly", "in a dispute", "one of the suspects"


@dataclass
class Standing:
    """The standing of a run's sites; ``least`` of them are needed in a round.

    ``named`` answered wrongly, each with how; ``disputes`` name whom each
    accuser accuses; ``spared`` are those without whom a sum was honest after
    others had been noise.
    """

    run_id: str
    sites: frozenset[str]
    least: int
    named: dict[str, str] = field(default_factory=dict)
    disputes: dict[str, str] = field(default_factory=dict)
    suspects: frozenset[str] = frozenset()
    spared: frozenset[str] = frozenset()

    def of_part(self, sites: Iterable[str], least: int) -> "Standing":
        """Returns the standing of some of the sites, which are summed by themselves.

        What either of the two learns of who answered wrongly, and of who accuses whom, both know.
        """
        part = frozenset(sites)
        return Standing(
            run_id=self.run_id,
            sites=part,
            least=least,
            named=self.named,
            disputes=self.disputes,
            suspects=self.suspects & part,
            spared=self.spared & part,
        )

    @property
    def is_lost(self) -> bool:
        """Whether too few sites are left that have answered rightly."""
        return not self.leaves_enough(self.named)

    def note(self, culprits: Mapping[str, str], complaints: Mapping[str, str]) -> None:
        """Takes note of who answered wrongly, and of who accuses whom.

        Raises:
            RunLost: too few sites are left that have answered rightly.
        """
        self.named |= culprits
        self.disputes |= complaints
        if self.is_lost:
            own = sorted((site, why) for site, why in self.named.items() if site in self.sites)
            named = "; ".join(f"{site}: {why}" for site, why in own)
            raise RunLost(
                f"fewer than {self.least} sites have answered rightly, as many as a round needs "
                f"({named}): this run cannot be finished"
            )

    def note_noise(self, survivors: frozenset[str]) -> None:
        """Takes note of a sum that was noise."""
        self.suspects = (self.suspects & survivors) or survivors

    def out(self, groups: Iterable[frozenset[str]]) -> dict[str, str]:
        """Returns who is left out of an attempt, and why; never too many.

        Args:
            groups: suspects that may be left out together; the first group that can be spared is.
        """
        out = dict.fromkeys(self.named.keys() & self.sites, NAMED)
        for why, choices in ((DISPUTED, self._of_disputes()), (SUSPECTED, groups)):
            for group in choices:
                if self.leaves_enough(out, group):
                    out |= dict.fromkeys((group & self.sites) - out.keys(), why)
                    break
        return out

    def turns(self, number: int, *, free: bool) -> Iterator[frozenset[str]]:
        """Yields the suspects that may be left out together when a round begins, best first.

        Args:
            number: the round, which says whose turn it is to be let in.
            free: whether an attempt that fails costs nothing.
        """
        if free and len(self.suspects) > 1:
            turn = self.in_turn(self.suspects)
            yield self.suspects - {turn[number % len(turn)]}
        yield self.spared

    def in_turn(self, sites: frozenset[str]) -> list[str]:
        """Returns sites in an order that follows from the run, whatever they are called."""
        return sorted(sites, key=lambda site: digest(f"{self.run_id}/{site}".encode()))

    def leaves_enough(self, *out: Iterable[str]) -> bool:
        """Whether a round can do without all of these sites."""
        return len(self.sites.difference(*out)) >= self.least

    def _of_disputes(self) -> Iterator[frozenset[str]]:
        yield frozenset(self.disputes.keys() | self.disputes.values())
        yield frozenset(self.disputes)
        yield frozenset(self.disputes.values())
