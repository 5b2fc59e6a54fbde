"""The drift of a calendar of releases against its frozen reference, at one rate of false alarms.

Rules:

1. ``rate`` is the chance that a series without drift gets any flag at all, in any column and any
   release of the calendar: each single test has its part of it (Bonferroni), so it holds however
   columns and releases depend on each other. The calendar's length was fixed beforehand.
2. Whether a column is tested is asked of the patients and the noise alone, not of its distance.
3. A release without a hospital that is in the reference is shown and not tested: hospitals'
   patients differ, so the mixture may have changed and nothing else.
4. Thresholds take a while to draw; they are a function of what was released, and kept.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from compliance.estimates.drift.distances import largest_step, stability_index
from compliance.estimates.drift.histograms import CountedRelease, NoisedHistogram
from compliance.estimates.drift.null_distribution import NullDistances, chance_of, threshold

#: The chance of any flag in a series without drift.
RATE = 0.05
TOO_FEW = "too few patients for this noise"
#: So many deviations of its own noise a number of patients must reach, to be compared.
_MARGIN = 4.0


@dataclass(frozen=True, kw_only=True)
class DriftTest:
    """One distance of one column in one release, beside what chance and noise alone give.

    Attributes:
        column: the column's name.
        statistic: ``psi`` or ``ks``.
        value: the distance of the noised counts.
        usual: the median that drawing and noise alone give.
        threshold: what they pass with the chance of one single test.
        chance: the p-value of ``value``.
        note: why it was not tested; empty where it was.
    """

    column: str
    statistic: str
    value: float
    usual: float | None = None
    threshold: float | None = None
    chance: float | None = None
    note: str = ""

    @property
    def is_flagged(self) -> bool:
        """Whether drawing and noise alone do not explain the distance."""
        return not self.note and self.threshold is not None and self.value > self.threshold


@dataclass(frozen=True, kw_only=True)
class ReleaseDrift:
    """One release of a calendar beside its reference.

    Attributes:
        number, run_id, sites: the release's.
        patients: its noised number of patients.
        tests: of every column.
        note: why the release as a whole was not tested; empty where its columns decide.
    """

    number: int
    run_id: str
    sites: tuple[str, ...]
    patients: float
    tests: tuple[DriftTest, ...]
    note: str = ""

    @property
    def flagged(self) -> tuple[DriftTest, ...]:
        """The tests that show drift."""
        return tuple(test for test in self.tests if test.is_flagged)

    @property
    def untested(self) -> tuple[str, ...]:
        """The columns that were not tested, in their order."""
        return tuple(dict.fromkeys(test.column for test in self.tests if test.note))

    @property
    def why_untested(self) -> str:
        """The reason why no column was tested; empty where one was."""
        if any(not test.note for test in self.tests):
            return ""
        reasons = dict.fromkeys(test.note for test in self.tests)
        return self.note or f"not tested: {'; '.join(reasons) or 'no column was counted'}"

    def found(self, nothing: str) -> str:
        """Returns what has drifted, else ``nothing``, and which columns were not tested."""
        drifted = ", ".join(sorted({test.column for test in self.flagged}))
        left_out = f" (not tested: {', '.join(self.untested)})" if self.untested else ""
        return (f"drift of {drifted}" if drifted else nothing) + left_out

    def to_json(self) -> dict[str, Any]:
        """Returns the release as JSON has it."""
        tests = [asdict(test) | {"is_flagged": test.is_flagged} for test in self.tests]
        return asdict(self) | {"sites": list(self.sites), "tests": tests}


@dataclass(frozen=True, kw_only=True)
class FlaggedDrift:
    """A record of one column whose drift was flagged, for whoever alerts people.

    It says nothing that was not released: pooled figures of noised counts.
    """

    release: int
    run_id: str
    column: str
    statistic: str
    value: float
    threshold: float
    chance: float

    def to_json(self) -> dict[str, Any]:
        """Returns the record as JSON has it."""
        return asdict(self)


def single_tests(reference: CountedRelease, releases: int) -> int:
    """Returns the number of single tests of a calendar of so many releases."""
    return releases * sum(1 + one.is_ordered for one in reference.histograms)


def drift_series(
    reference: CountedRelease,
    releases: Sequence[CountedRelease],
    *,
    calendar: int,
    seed: int,
    rate: float = RATE,
) -> tuple[ReleaseDrift, ...]:
    """Returns the drift of every release that was made, in their order.

    Args:
        reference: release 0.
        releases: those after it, at most ``calendar``.
        calendar: how many releases after the reference were planned.
        seed: of the draws of the null distribution; the same seed, the same thresholds.
        rate: of any false alarm in the whole calendar.

    Raises:
        ValueError: more releases than planned, or of other columns.
    """
    if len(releases) > calendar:
        raise ValueError(f"{len(releases)} releases of a calendar of {calendar}")
    level = rate / max(1, single_tests(reference, calendar))
    return tuple(_compared(reference, release, level, seed) for release in releases)


def flagged_drifts(series: Sequence[ReleaseDrift]) -> tuple[FlaggedDrift, ...]:
    """Returns a record of every flagged test, by release."""
    return tuple(
        FlaggedDrift(
            release=release.number,
            run_id=release.run_id,
            column=test.column,
            statistic=test.statistic,
            value=test.value,
            threshold=test.threshold or 0.0,
            chance=test.chance or 0.0,
        )
        for release in series
        for test in release.flagged
    )


@lru_cache(maxsize=512)  # pages and commands read the same few calendars again and again
def _compared(
    reference: CountedRelease, release: CountedRelease, level: float, seed: int
) -> ReleaseDrift:
    absent = sorted({*reference.sites} - {*release.sites})
    added = sorted({*release.sites} - {*reference.sites})
    words: Mapping[str, list[str]] = {"without": absent, "with": added}
    note = "; ".join(f"{how} {', '.join(who)}" for how, who in words.items() if who)
    pairs = zip(reference.histograms, release.histograms, strict=True)
    return ReleaseDrift(
        number=release.number,
        run_id=release.run_id,
        sites=release.sites,
        patients=release.histograms[0].patients if release.histograms else 0.0,
        tests=tuple(
            test
            for place, (before, after) in enumerate(pairs)
            for test in _tests(
                before, after, level, np.random.default_rng([seed, release.number, place]), note
            )
        ),
        note=f"not tested: {note}, unlike the reference" if note else "",
    )


def _tests(
    before: NoisedHistogram,
    after: NoisedHistogram,
    level: float,
    random: np.random.Generator,
    absent: str,
) -> list[DriftTest]:
    if (before.name, before.parts) != (after.name, after.parts):
        raise ValueError(f"column {after.name} has other parts than in the reference")
    index = float(
        stability_index(before.compared, after.compared, (before.deviation, after.deviation))
    )
    found = {"psi": index}
    if before.is_ordered:
        found["ks"] = float(largest_step(np.array(before.counts), np.array(after.counts)))
    note = absent or next((TOO_FEW for one in (before, after) if _is_lost(one)), "")
    if note:
        return [
            DriftTest(column=before.name, statistic=name, value=value, note=note)
            for name, value in found.items()
        ]
    null = NullDistances.drawn(before, after, level=level, random=random)
    drawn = {"psi": null.index, "ks": null.step}
    return [
        DriftTest(
            column=before.name,
            statistic=name,
            value=value,
            usual=float(np.median(under)),
            threshold=threshold(under, level),
            chance=chance_of(under, value),
        )
        for name, value in found.items()
        if (under := drawn[name]) is not None
    ]


def _is_lost(one: NoisedHistogram) -> bool:
    """Whether so few patients are compared that their number is lost in its own noise."""
    own = one.deviation * (1.0 if one.compares_missing else math.sqrt(2))
    return not one.compared_patients > max(1.0, _MARGIN * own)
