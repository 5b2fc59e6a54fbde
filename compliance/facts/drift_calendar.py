"""A calendar of releases as pages and commands show it: what was counted, and what has drifted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

    @property
    def made(self) -> int:
        """The number of releases after the reference."""
        return len(self.series)

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
        newest = self.series[-1]
        if newest.why_untested:
            return f"{where}: the newest was {newest.why_untested}."
        return f"{where}: the newest shows {newest.found('no more than chance and noise')}."

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
            "sentence": self.sentence,
        }


def compared(
    releases: Sequence[CountedRelease], *, planned: int, seed: int, rate: float = RATE
) -> tuple[CountedRelease | None, tuple[ReleaseDrift, ...]]:
    """Returns the reference among the releases of a calendar, and the drift of the others."""
    if not releases:
        return None, ()
    reference, *others = releases
    return reference, drift_series(reference, others, calendar=planned, seed=seed, rate=rate)
