"""A calendar of releases as pages and commands show it: what was counted, and what has drifted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from compliance.estimates.drift.histograms import CountedRelease
from compliance.estimates.drift.series import (
    RATE,
    FlaggedDrift,
    ReleaseDrift,
    drift_series,
    flagged_drifts,
    single_tests,
)


@dataclass(frozen=True, kw_only=True)
class UncountedRun:
    """A run of a monitoring study that released nothing, and why, in the run's own words."""

    run_id: str
    started_at: str
    state: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Returns the run as JSON has it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class DriftCalendar:
    """A monitoring study and its releases until now.

    Attributes:
        study_name, study_title, study_digest: the monitoring study's.
        model: the file digest of the model whose scores are watched; None of columns alone.
        planned: how many releases after the reference were priced.
        epsilon: of one patient, for the whole calendar; None where nothing is protected.
        delta: beside it.
        seed: of the draws that thresholds come from.
        rate: the chance of any flag in a calendar without drift.
        reference: release 0; None before it was made.
        made_at: when each release was made, the reference first.
        series: the releases after the reference.
        budget_left: of each hospital's budget for life, after it reserved the calendar.
        simulation: whether the hospitals were simulated.
        uncounted: the runs that released nothing, such as one that no budget allowed.
    """

    study_name: str
    study_title: str
    study_digest: str
    model: str | None
    planned: int
    epsilon: float | None
    delta: float | None
    seed: int
    rate: float
    reference: CountedRelease | None
    made_at: tuple[str, ...]
    series: tuple[ReleaseDrift, ...]
    budget_left: Mapping[str, float | None]
    simulation: bool
    uncounted: tuple[UncountedRun, ...] = ()

    @property
    def made(self) -> int:
        """The number of releases after the reference."""
        return len(self.series)

    @property
    def left(self) -> int:
        """The number of releases that are priced and not made."""
        return self.planned - self.made

    def number_of(self, run_id: str) -> int | None:
        """Returns the number of the release that a run made, 0 the reference; None of no release.

        A run that failed, or came after the calendar's end, made none.
        """
        if self.reference is not None and self.reference.run_id == run_id:
            return self.reference.number
        return next((one.number for one in self.series if one.run_id == run_id), None)

    @property
    def flagged(self) -> tuple[FlaggedDrift, ...]:
        """A record of every flagged test."""
        return flagged_drifts(self.series)

    @property
    def columns(self) -> tuple[str, ...]:
        """The watched columns."""
        return () if self.reference is None else tuple(h.name for h in self.reference.histograms)

    @property
    def level(self) -> float | None:
        """The chance of a false flag of one single test."""
        if self.reference is None:
            return None
        return self.rate / max(1, single_tests(self.reference, self.planned))

    @property
    def sentence(self) -> str:
        """The state of the calendar in one sentence."""
        if self.reference is None:
            return "The reference has not been counted yet."
        where = f"{self.made} of {self.planned} releases after the reference"
        if not self.series:
            return f"{where}: nothing is compared yet."
        return f"{where}: the newest {_verdict(self.series[-1])}."

    def to_json(self) -> dict[str, Any]:
        """Returns the calendar as ``--json`` shows it."""
        return {
            "study": {
                "name": self.study_name,
                "title": self.study_title,
                "digest": self.study_digest,
            },
            "model": self.model,
            "simulation": self.simulation,
            "planned_releases": self.planned,
            "made_releases": self.made,
            "left_releases": self.left,
            "reference": None if self.reference is None else self.reference.run_id,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "false_alarm_rate": self.rate,
            "single_test_level": self.level,
            "seed": self.seed,
            "budget_left": dict(self.budget_left),
            "made_at": list(self.made_at),
            "releases": [release.to_json() for release in self.series],
            "flagged": [flag.to_json() for flag in self.flagged],
            "uncounted_runs": [run.to_json() for run in self.uncounted],
            "sentence": self.sentence,
        }


def _verdict(release: ReleaseDrift) -> str:
    """Returns what a release says, as the rest of a sentence about it."""
    if release.why_untested:
        return f"was {release.why_untested}"
    return f"shows {release.found('no more than chance and noise')}"


def compared(
    releases: Sequence[CountedRelease], *, planned: int, seed: int, rate: float = RATE
) -> tuple[CountedRelease | None, tuple[ReleaseDrift, ...]]:
    """Returns the reference among the releases of a calendar, and the drift of the others."""
    if not releases:
        return None, ()
    reference, *others = releases
    return reference, drift_series(reference, others, calendar=planned, seed=seed, rate=rate)
