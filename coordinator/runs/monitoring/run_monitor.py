"""The monitor of one run: its round, its hospitals, and what it waits for, told to its readers."""

import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path

from compliance.storage.clock import told_time
from coordinator.runs.monitoring.attendance import Attendance
from coordinator.runs.monitoring.progress import (
    RoundClock,
    RunProgress,
    forget_progress,
    write_progress,
)
from coordinator.runs.monitoring.step_wait import StepWait, waiting_text
from coordinator.runs.participants import RunParticipants
from protocol.study.study import Study

log = logging.getLogger("collegium.coordinator")

#: How it is told of a hospital whose signed summary was not taken; the log says more.
_WHY_UNFIT = "signed another privacy than the study fixes"


class RunMonitor:
    """Follows one run; the run's thread changes it, any thread may read it.

    Args:
        run_id, study: which run.
        participants: who has joined it.
        attendance: who is there now.
        is_paused: whether the run waits before its next round.
        folder: where ``progress`` is left for its readers.
    """

    def __init__(
        self,
        run_id: str,
        study: Study,
        *,
        participants: RunParticipants,
        attendance: Attendance,
        is_paused: Callable[[], bool],
        folder: Path,
    ) -> None:
        self._run_id, self._study, self._folder = run_id, study, folder
        self._participants, self._attendance = participants, attendance
        self._is_paused = is_paused
        #: How many hospitals a round needs.
        self.least = max(study.threshold, study.aggregation.min_sites)
        #: Why the run waits before its next round, in words; empty while it does not.
        self.blocked_reason = ""
        #: The step that is under way.
        self.step = StepWait(run_id, changed=self.tell)
        #: Kind and number of the round that is due.
        self._due = ("training", 0) if study.training.rounds else ("evaluation", 0)
        self._clock = RoundClock()
        self._progress_at = self._opened_at = time.monotonic()
        #: Seconds until each hospital's update was here, in the newest attempt.
        self._updates: dict[str, float] = {}

    @property
    def silent(self) -> dict[str, float]:
        """The sites that have joined and are not there now, and when they were last heard from."""
        return self._attendance.silent(self._participants.joined)

    @property
    def has_enough(self) -> bool:
        """Whether as many hospitals are there as the round that is due needs."""
        there = self._participants.joined - self.silent.keys()
        return self._study.enough(*self._due, there)

    @property
    def idle_seconds(self) -> float:
        """Seconds since the run began or a round was finished."""
        return time.monotonic() - self._progress_at

    def absent(self) -> dict[str, str]:
        """Returns who is not asked now, and why."""
        missing = set(self._study.site_names) - self._participants.joined
        unfit = self._participants.unfit
        absent = {site: _WHY_UNFIT if site in unfit else "has not joined" for site in missing}
        return absent | {
            site: f"not heard from since {told_time(at)}" if at else "not heard from"
            for site, at in self.silent.items()
        }

    def round_begins(self, round_kind: str, number: int) -> None:
        """Takes note that a round is tried; ``number`` counts from 0."""
        self._due = round_kind, number

    def round_finished(self, round_kind: str, number: int) -> None:
        """Takes note that a round was committed; ``number`` counts from 0."""
        self._progress_at = time.monotonic()
        self._due = self._study.evaluations.round_after(round_kind, number)
        self._clock.round_ended()
        self.tell()

    def round_opens(self) -> None:
        """Takes note that hospitals are shown a round: their updates are timed from here."""
        self._opened_at, self._updates = time.monotonic(), {}

    def update_came(self, site: str) -> None:
        """Takes note that a hospital's update is here."""
        seconds = round(time.monotonic() - self._opened_at, 3)
        self._updates = self._updates | {site: seconds}

    def step_begins(self, sites: Collection[str], limit: float) -> None:
        """Takes note that a step of a round asks some sites, for ``limit`` seconds at most."""
        asked = self._participants.joined.intersection(sites)
        self.step.begin(asked, limit, self._clock.seconds_left(1))

    def step_ends(self) -> None:
        """Takes note that a step has ended: nobody waits a second time for who was silent."""
        self._attendance.missed(self.step.end(self.least))

    @property
    def progress(self) -> RunProgress:
        """The progress of the run."""
        rounds, waits = self._study.training.rounds, self.step.now
        state = self._state
        asked = dict.fromkeys(waits.sites, told_time(waits.since)) if waits else {}
        until = told_time(waits.until) if waits else ""
        silent = {site: at for site, at in self.silent.items() if site not in asked}
        (kind, number), schedule = self._due, self._study.evaluations
        left = None
        if state == "running":
            left = self._clock.seconds_left(schedule.left(kind, number))
        return RunProgress(
            state=state,
            round=schedule.rounds_before(kind, number) + (kind == "training" or number == rounds),
            rounds=rounds,
            at=schedule.place(kind, number),
            waits_for=waiting_text(asked, until) if asked else self.blocked_reason,
            silent={site: told_time(at) if at else "" for site, at in silent.items()},
            asked=asked,
            until=until,
            seconds_left=left,
            updates=self._updates,
        )

    @property
    def _state(self) -> str:
        if self.step.now:
            return "waiting"
        if self._is_paused():  # the present round is ended first
            return "paused"
        if self.blocked_reason:
            return "waiting"
        return "joining" if len(self._participants.joined) < self.least else "running"

    def tell(self) -> None:
        """Leaves a look at the run for its readers."""
        try:
            write_progress(self._folder, self._run_id, self.progress)
        except OSError as error:  # a full disk stops what must be kept, not what is only told
            log.warning("run %s: its progress is not told: %s", self._run_id, error.strerror)

    def forget(self) -> None:
        """Removes what was told: the run has ended."""
        forget_progress(self._folder, self._run_id)
