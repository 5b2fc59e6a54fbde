"""The secure sums of one round, through their attempts.

Usually there is one, of all hospitals. Under a robust rule there is one for each group: an attempt
of its own context, numbered through the round, so that of g groups the one at place i has the
attempts i, i + g, i + 2g and so on. One that fails is tried again by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from coordinator.rounds.attempts.aggregation import Sum, SumFailure
from coordinator.rounds.attempts.attempt_times import AttemptTimes
from coordinator.rounds.attempts.conduct import Conduct
from coordinator.rounds.attempts.retries import Attempts, Failed
from coordinator.rounds.means import SummedSites
from protocol.errors import QuorumLost, RunLost, SumRefused
from protocol.secagg.server import SecAggServer
from protocol.study.study import SumOfSites
from protocol.transport.steps import Traffic

#: Why a sum of a round cannot be made.
SumLost: TypeAlias = QuorumLost | SumRefused | RunLost


@dataclass(frozen=True, kw_only=True)
class SumPlace:
    """The place of a sum: its round, its sites, and which of so many sums it is."""

    round_kind: str
    number: int
    sites: SumOfSites
    place: int
    sums: int

    def attempt(self, own: int) -> int:
        """Returns the number in the round of one of the sum's own attempts, both from 0."""
        return own * self.sums + self.place

    @property
    def text(self) -> str:
        """The sum, as people are told of it."""
        where = f"{self.round_kind} round {self.number + 1}"
        if self.sums == 1:
            return where
        return f"{where}, group {self.place + 1} ({', '.join(self.sites.sites)})"


@dataclass(frozen=True, kw_only=True)
class DoneSum:
    """A sum that was made, and the conduct of its sites."""

    total: Sum
    conduct: Conduct

    @property
    def summed(self) -> SummedSites:
        """The sites in the sum and the sum."""
        return SummedSites(survivors=self.total.survivors, total=self.total.total)

    def described(self, *, norm: float, direction: float | None, distance: float) -> "DoneSum":
        """Returns the sum with how it lies to what a robust rule made of the round's sums."""
        conduct = replace(self.conduct, norm=norm, direction=direction, distance=distance)
        return replace(self, conduct=conduct)


@dataclass(kw_only=True)
class SumTries:
    """The attempts at one sum of a round; it is pending until it is ``done`` or has an ``error``.

    ``left_out`` are the sites without a part in the present attempt, each with the reason;
    ``machine`` made the sum, and ``traffic`` is what crossed in the attempt, by site of the round;
    ``times`` says how long the attempt took.
    """

    at: SumPlace
    attempts: Attempts
    first_draw: int
    left_out: Mapping[str, str] = field(default_factory=dict)
    done: DoneSum | None = None
    error: SumLost | None = None
    machine: SecAggServer | None = None
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    times: AttemptTimes | None = None

    @classmethod
    def begun(cls, at: SumPlace, attempts: Attempts, first_draw: int) -> "SumTries":
        """Returns a sum before its first attempt; of a group that is lost for good, its error."""
        lost = at.sums > 1 and attempts.is_lost
        error = RunLost("too few of its hospitals have answered rightly") if lost else None
        return cls(at=at, attempts=attempts, first_draw=first_draw, error=error)

    @property
    def is_pending(self) -> bool:
        """Whether another attempt is due."""
        return self.done is None and self.error is None

    @property
    def redrawn(self) -> int:
        """The number of draws beyond the one that it began with."""
        return self.attempts.now.draw - self.first_draw

    def can_be_asked(self, absent: Mapping[str, str]) -> bool:
        """Takes note of who has no part in the attempt that is due; whether enough are left.

        Where the round has no other sum, the attempt itself says that they are too few.
        """
        attempt, sites = self.attempts.now, self.at.sites.sites
        out = {**absent, **attempt.without}
        self.left_out = {site: why for site, why in out.items() if site in sites}
        left = len(sites) - len(self.left_out)
        if self.at.sums > 1 and left < attempt.least:
            self.error = QuorumLost(
                f"{left} of its {len(sites)} hospitals can be asked, {attempt.least} are needed"
            )
        return self.error is None

    def succeed(self, machine: SecAggServer, total: Sum, clip: float | None) -> None:
        """Takes note of the sum."""
        self.attempts.succeed()
        self.machine = machine
        self.done = DoneSum(total=total, conduct=self.conduct(machine, clip, failed=False))

    def fail(self, machine: SecAggServer, error: SumFailure) -> None:
        """Takes note of a failed attempt, and of whether it was the last one.

        Raises:
            RunLost: the round has no other sum, and this one can never be made.
        """
        if machine.was_ended:
            self.attempts.end_with_others()
            return
        failed = Failed(
            error=error,
            survivors=frozenset(machine.survivors),
            revealing=machine.asks_to_reveal,
            culprits=machine.culprits,
            complaints=machine.complaints,
            refusals=machine.refusals,
        )
        try:
            again = self.attempts.fail(failed)
        except RunLost as lost:
            if self.at.sums == 1:
                raise
            self.error = lost
            return
        self.error = None if again else error

    def conduct(self, machine: SecAggServer, clip: float | None, *, failed: bool) -> Conduct:
        """Returns what an attempt that has ended shows of the sites."""
        own = self.at.sites.sites
        return Conduct.of(
            machine,
            left_out=self.left_out,
            suspects=self.attempts.suspects,
            failed=failed,
            clip=clip,
            traffic={site: crossed for site, crossed in self.traffic.items() if site in own},
            times=self.times,
        )


def why_too_few(tries: Sequence[SumTries], least: int) -> tuple[str, SumLost]:
    """Returns which sum a round lacks, and why; one that is lost for good if that is enough."""
    failed = [(one.at.text, one.error) for one in tries if one.error is not None]
    for_good = [each for each in failed if isinstance(each[1], RunLost)]
    for_now = [each for each in failed if not isinstance(each[1], RunLost)]
    first, *_ = for_good if len(tries) - len(for_good) < least else for_now
    return first


def survivors_of(done: Sequence[DoneSum]) -> tuple[str, ...]:
    """Returns the sites in any of these sums, sorted."""
    return tuple(sorted(site for one in done for site in one.total.survivors))
