"""A calendar's flags: stable series seldom have one, planted drifts have theirs soon."""

import numpy as np
import pytest

from compliance.estimates.drift.histograms import CountedRelease, NoisedHistogram
from compliance.estimates.drift.series import (
    RATE,
    TOO_FEW,
    ReleaseDrift,
    drift_series,
    flagged_drifts,
    single_tests,
)
from tests.support.simulated.drifts import (
    LAB_IN_ANOTHER_UNIT,
    NEW_SCANNER,
    SITES,
    TWICE_AS_ILL,
    release,
)

CALENDAR = 4


def share_of_false_alarms(series: int, patients: int, deviation: float) -> float:
    random, alarms = np.random.default_rng(11), 0
    for seed in range(series):
        reference, *releases = (
            release(n, random, patients=patients, deviation=deviation) for n in range(CALENDAR + 1)
        )
        found = drift_series(reference, releases, calendar=CALENDAR, seed=seed)
        alarms += bool(flagged_drifts(found))
    return alarms / series


@pytest.mark.long
@pytest.mark.parametrize(("patients", "deviation"), [(900, 25.0), (2000, 25.0), (400, 0.0)])
def test_stable_series_have_a_false_alarm_as_seldom_as_is_stated(
    patients: int, deviation: float
) -> None:
    assert share_of_false_alarms(500, patients, deviation) <= RATE


def test_few_stable_series_have_a_false_alarm() -> None:
    assert share_of_false_alarms(15, 900, 25.0) <= 2 / 15  # more: a chance below 4 in 100


@pytest.mark.parametrize(
    ("column", "shares"),
    [("lab", LAB_IN_ANOTHER_UNIT), ("scanner", NEW_SCANNER), ("label", TWICE_AS_ILL)],
)
def test_a_planted_drift_is_flagged_within_two_releases_and_by_its_own_column(
    column: str, shares: np.ndarray
) -> None:
    random = np.random.default_rng(12)
    for seed in range(5):
        reference, *before = (release(n, random) for n in range(3))
        after = [release(n, random, **{column: shares}) for n in (3, 4)]
        found = drift_series(reference, [*before, *after], calendar=CALENDAR, seed=seed)
        assert not flagged_drifts(found[:2])
        flagged = flagged_drifts(found[2:])
        assert {one.column for one in flagged} == {column}
        assert all(one.value > one.threshold and one.chance < RATE for one in flagged)


def one_release(
    number: int = 1, *, without: tuple[str, ...] = (), **drifted: np.ndarray
) -> tuple[CountedRelease, CountedRelease]:
    random = np.random.default_rng(13)
    sites = tuple(site for site in SITES if site not in without)
    return release(0, random), release(number, random, sites=sites, **drifted)


def drift_of(reference: CountedRelease, after: CountedRelease) -> ReleaseDrift:
    (found,) = drift_series(reference, [after], calendar=1, seed=0)
    return found


def test_a_release_without_a_hospital_of_the_reference_is_shown_and_not_tested() -> None:
    found = drift_of(*one_release(without=("south",), lab=LAB_IN_ANOTHER_UNIT))
    assert found.note == "not tested: without south, unlike the reference"
    assert not found.flagged
    assert max(test.value for test in found.tests) > 1


def test_a_column_that_nobody_has_a_value_of_is_not_compared_by_its_values() -> None:
    empty = np.array([*np.zeros(8), 1.0])
    random = np.random.default_rng(14)
    before, after = (release(n, random, lab=empty) for n in (0, 1))
    by_name = {(t.column, t.statistic): t for t in drift_of(before, after).tests}
    assert not any(test.is_flagged for test in by_name.values())
    assert np.isfinite(by_name["lab", "psi"].value)
    unknown = np.array([0.0, 0.0, 1.0])
    found = drift_of(release(0, random), release(1, random, label=unknown))
    (label,) = (test for test in found.tests if test.column == "label")
    assert label.note == TOO_FEW
    assert label.threshold is None


def test_a_column_that_becomes_missing_is_flagged() -> None:
    found = drift_of(*one_release(lab=np.array([*np.zeros(8), 1.0])))
    assert {test.column for test in found.flagged} == {"lab"}


def test_too_few_patients_for_the_noise_are_not_tested_whatever_they_seem_to_be() -> None:
    random = np.random.default_rng(15)
    before, after = (release(n, random, patients=60, deviation=30.0) for n in (0, 1))
    assert {test.note for test in drift_of(before, after).tests} == {TOO_FEW}


def test_each_test_has_its_part_of_the_rate_by_columns_statistics_and_planned_releases() -> None:
    reference, after = one_release()
    assert single_tests(reference, 1) == 2 + 1 + 1 + 2
    assert single_tests(reference, 10) == 60
    longer = drift_series(reference, [after], calendar=10, seed=0)[0].tests
    for one, other in zip(drift_of(reference, after).tests, longer, strict=True):
        assert one.threshold is not None
        assert other.threshold is not None
        assert other.threshold > one.threshold


def test_one_seed_gives_one_series_and_a_later_release_does_not_change_an_earlier_one() -> None:
    random = np.random.default_rng(16)
    reference, *releases = (release(n, random) for n in range(3))
    whole = drift_series(reference, releases, calendar=2, seed=5)
    assert drift_series(reference, releases[:1], calendar=2, seed=5) == whole[:1]


def test_more_releases_than_planned_and_other_columns_are_refused() -> None:
    reference, after = one_release()
    with pytest.raises(ValueError, match="2 releases of a calendar of 1"):
        drift_series(reference, [after, after], calendar=1, seed=0)
    other = after.histograms[0].to_json() | {"parts": ["0"], "counts": [1.0]}
    changed = CountedRelease(
        number=1,
        run_id="run-1",
        sites=SITES,
        histograms=(NoisedHistogram.from_json(other), *after.histograms[1:]),
    )
    with pytest.raises(ValueError, match="other parts than in the reference"):
        drift_of(reference, changed)
