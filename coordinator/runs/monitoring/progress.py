"""The progress of a run under way, for the service, the list of runs and the page.

The service writes it into ``states/<run>.progress.json`` whenever it changes. It
is told for information only: what a run *is* stands in the database.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from compliance.storage.atomic_file import write_whole

#: So many of the newest rounds say how long one takes.
_NEWEST = 20


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """One look at a run.

    ``state`` is joining, running, waiting or paused; ``round`` counts from 1, the
    last evaluation is the one after the ``rounds`` of training; at an interim one it
    is the training round before it, and ``at`` says so in words; ``silent`` says since
    when (UTC, ISO 8601) each hospital that is left out was not heard from, empty
    when it never was. ``asked`` says since when a step waits for each hospital that
    has not answered it, and ``until`` when it ends without them; ``waits_for`` is
    the same, or another reason to wait, in words. ``seconds_left`` is None while
    nothing is known, or the run waits. ``updates`` are seconds from the opening of the newest
    attempt at a round until each hospital's update was here.
    """

    state: str
    round: int
    rounds: int
    at: str = ""
    waits_for: str = ""
    silent: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    until: str = ""
    seconds_left: float | None = None
    updates: Mapping[str, float] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The place of the run, in words: a training round or an evaluation."""
        if self.at:
            return self.at
        if self.round > self.rounds:
            return "evaluation"
        return f"round {self.round} of {self.rounds}"


class RoundClock:
    """Guesses from the newest rounds how long the rest of a run takes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=_NEWEST)

    def round_ended(self) -> None:
        """Takes note that a round has ended."""
        self._ends.append(self._clock())

    def seconds_left(self, rounds: int) -> float | None:
        """Returns what so many rounds will take; None before two rounds have ended."""
        if len(self._ends) < 2:
            return None
        return (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1) * rounds


def write_progress(folder: Path, run_id: str, progress: RunProgress) -> None:
    """Keeps the newest look at a run; a reader sees a whole one. It need not survive a crash."""
    folder.mkdir(mode=0o700, exist_ok=True)
    write_whole(_file(folder, run_id), json.dumps(asdict(progress)).encode(), durable=False)


def read_progress(folder: Path, run_id: str) -> RunProgress | None:
    """Returns the newest look at a run; None where there is none that can be read."""
    try:
        return RunProgress(**json.loads(_file(folder, run_id).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def forget_progress(folder: Path, run_id: str) -> None:
    """Removes what was told of a run that has ended."""
    _file(folder, run_id).unlink(missing_ok=True)


def _file(folder: Path, run_id: str) -> Path:
    return folder / f"{run_id}.progress.json"
