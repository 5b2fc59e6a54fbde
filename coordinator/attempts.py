"""Who is left out of a round's next attempt, when the last one failed.

Rules:

1. Too few sites were left: again, without the sites that the protocol has
   named, up to the study's number of attempts. Of a site that complains about
   another's shares and the one it accuses, one lies: both are left out, or the
   accuser alone where both cannot be spared.
2. The sum was noise: some site masked wrongly, and nobody can be named from
   the sum. One site after another is left out until the sum is honest. The
   site without which it is honest is *suspected*: it may itself be the victim
   of another that misbehaves in its presence only. It is left out of the rest
   of the run, and the log says so.
3. Never fewer sites than the round needs: better all of them once more.

A training round may be tried again because its noised updates are masked
again, at no charge (ruling 4).
"""

from collections.abc import Collection, Mapping

from protocol.errors import FederationError, SumRefused


class Attempts:
    """The attempts of one round.

    Args:
        sites: the cohort.
        least: how many sites the round needs.
        most: how often it is begun, as far as rule 1 goes.
        suspects: sites left out since an earlier round.
        begun: how often the round was begun before, by a coordinator that was killed.
    """

    def __init__(
        self,
        sites: Collection[str],
        *,
        least: int,
        most: int,
        suspects: Collection[str] = (),
        begun: int = 0,
    ) -> None:
        self.number = self._begun = begun
        #: The site that is left out now because the sum was noise with it.
        self.suspect: str | None = None
        self._sites, self._least, self._most = frozenset(sites), least, most
        self._out = frozenset(suspects)
        self._line: list[str] | None = None

    @property
    def without(self) -> frozenset[str]:
        """Who has no part in the present attempt."""
        return self._out | ({self.suspect} if self.suspect else set())

    def fail(
        self,
        error: FederationError,
        *,
        survivors: Collection[str],
        culprits: Collection[str],
        complaints: Mapping[str, str],
    ) -> bool:
        """Takes note of a failed attempt; returns whether there is another.

        Args:
            error: why it failed.
            survivors: whose vectors were in its sum.
            culprits: whom the protocol has named, the accused among them.
            complaints: whom each accuser accuses.
        """
        self.number += 1
        named, accused = frozenset(culprits), frozenset(complaints.values())
        for out in (named | complaints.keys(), (named - accused) | complaints.keys(), named):
            if self._leaves_enough(self._out | out):
                self._out |= out & self._sites
                break
        if isinstance(error, SumRefused) and self._line is None:
            self._line = sorted(survivors)
        if self._line is None:
            return self.number - self._begun < self._most
        self.suspect = None
        while self._line:
            candidate = self._line.pop(0)
            if self._leaves_enough(self._out | {candidate}):
                self.suspect = candidate
                return True
        return False

    def _leaves_enough(self, out: Collection[str]) -> bool:
        return len(self._sites - frozenset(out)) >= self._least
