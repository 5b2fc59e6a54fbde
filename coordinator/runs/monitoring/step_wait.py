"""For whom a step of a round waits, since when, and until when at the latest.

A hospital that was killed and one that computes look alike until the step's limit.
What differs is time: once nobody has answered for longer than a round usually takes,
the step waits. No end of the run can be forecast then, and two lines in the log say
when the wait began and how it ended.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

log = logging.getLogger("collegium.coordinator")

#: Seconds without an answer after which a step waits, where rounds are quicker than that.
LATE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Waits:
    """A step that waits: for these sites since it asked them (seconds), until its limit."""

    sites: tuple[str, ...]
    since: float
    until: float


class StepWait:
    """The step that is under way in one run; one thread steers it, any may read ``now``.

    Args:
        run_id: the run, for the log.
        clock: seconds that only rise.
        wall: the time that people are told, in seconds.
        changed: called when the step begins to wait, and at each answer while it waits.
    """

    def __init__(
        self,
        run_id: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._run_id, self._clock, self._wall, self._changed = run_id, clock, wall, changed
        self._left: set[str] = set()
        self._asked = 0
        self._began = self._until = self._latest = self._late = 0.0
        #: What is waited for at this moment; None while answers come as they usually do.
        self.now: Waits | None = None

    def begin(self, sites: Collection[str], limit: float, usual: float | None) -> None:
        """Takes note that a step asks some sites.

        Args:
            sites: whom.
            limit: seconds after which the step ends without them.
            usual: seconds that a whole round took of late, where any is known.
        """
        self._left, self.now, self._asked = set(sites), None, len(sites)
        self._began = self._latest = self._clock()
        self._until = self._began + limit
        self._late = min(max(LATE_SECONDS, usual or 0.0), limit / 2)

    def answered(self, site: str) -> None:
        """Takes note of an answer."""
        self._left.discard(site)
        self._latest = self._clock()
        if self.now is None:
            return
        if site in self.now.sites:
            log.info("run %s: %s has answered", self._run_id, site)
        self.now = self._waits() if self._left else None
        self._changed()

    def look(self) -> bool:
        """Returns whether the step has begun to wait just now; logs it."""
        if self.now is not None or not self._left or self._clock() < self._latest + self._late:
            return False
        self.now = self._waits()
        log.warning(
            "run %s waits for %s, silent for %.0f s: for %.0f s more at the most",
            self._run_id,
            ", ".join(self.now.sites),
            self._clock() - self._began,
            self._until - self._clock(),
        )
        self._changed()
        return True

    def end(self, least: int) -> frozenset[str]:
        """Returns who has not answered to the end of the step; logs whether it goes on.

        Args:
            least: how many of those who were asked a round needs.
        """
        enough = self._asked - len(self._left) >= least
        silent, self.now = frozenset(self._left), None
        self._left = set()
        if silent:
            log.warning(
                "run %s: no answer from %s within %.0f s: %s",
                self._run_id,
                ", ".join(sorted(silent)),
                self._clock() - self._began,
                "the round goes on without" if enough else "too few are left for the round",
            )
        return silent

    def stop(self) -> None:
        """Ends the step: the run was stopped, and no site is noted as silent."""
        self._left, self.now = set(), None

    def _waits(self) -> Waits:
        ahead = self._wall() - self._clock()
        return Waits(
            sites=tuple(sorted(self._left)), since=self._began + ahead, until=self._until + ahead
        )


def waiting_text(waited: Mapping[str, str], until: str) -> str:
    """Returns for whom a step waits, as people are told it.

    >>> waiting_text({"west": "2026-11-26T10:00:00Z"}, "2026-11-26T10:10:00Z")
    'for west, asked at 2026-11-26T10:00:00Z, until 2026-11-26T10:10:00Z at the latest'
    """
    since = min(waited.values())
    return f"for {', '.join(sorted(waited))}, asked at {since}, until {until} at the latest"
