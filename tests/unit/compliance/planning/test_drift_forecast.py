"""What a monitoring calendar would see, and that it is no promise that releases break."""

import numpy as np
import pytest

from compliance.estimates.drift.series import drift_series, flagged_drifts
from compliance.planning.drift_forecast import (
    MAJOR,
    DriftForecast,
    WatchedColumn,
    forecast_drift,
)
from tests.support.simulated.drifts import release

COLUMNS = (
    WatchedColumn(name="lab", kind="number", parts=8),
    WatchedColumn(name="scanner", kind="category", parts=3),
    WatchedColumn(name="label", kind="label", parts=2, share=0.1),
    WatchedColumn(name="score", kind="score", parts=8),
)


def forecast(patients: float, deviation: float, releases: int = 4) -> DriftForecast:
    return forecast_drift(COLUMNS, patients=patients, deviation=deviation, releases=releases)


def test_a_rise_of_the_forecast_size_is_flagged_in_about_80_of_100_releases() -> None:
    found = {one.column: one for one in forecast(1600, 25.0).columns}["label"]
    assert found.shift is not None
    rose = np.array([0.9 - found.shift, 0.1 + found.shift, 0.0]) * np.array([1, 1, 0])
    before, random, seen = np.array([0.9, 0.1, 0.0]), np.random.default_rng(2), 0
    for seed in range(100):  # alone, in a calendar that is as many single tests
        pair = [
            release(n, random, patients=1600, columns=("label",), label=before if n == 0 else rose)
            for n in (0, 1)
        ]
        series = drift_series(pair[0], pair[1:], calendar=24, seed=seed)
        seen += bool(flagged_drifts(series))
    assert 65 <= seen <= 95


def test_more_noise_fewer_patients_and_a_longer_calendar_hide_larger_drifts() -> None:
    least = forecast(2000, 10.0)
    for other in (forecast(2000, 30.0), forecast(500, 10.0), forecast(2000, 10.0, releases=12)):
        for one, hidden in zip(least.columns, other.columns, strict=True):
            assert one.index is not None
            assert hidden.index is None or hidden.index >= one.index
        assert other.columns != least.columns


def test_what_no_column_would_show_is_not_worth_its_price() -> None:
    assert forecast(2000, 10.0).is_enough
    useless = forecast(300, 200.0)
    assert not useless.is_enough
    assert {one.index for one in useless.columns if one.index is not None and one.index <= MAJOR} \
        == set()  # fmt: skip


def test_without_noise_chance_alone_hides_a_drift() -> None:
    found = {one.column: one for one in forecast(1000, 0.0).columns}["label"]
    assert found.share == pytest.approx(0.1)
    assert found.shift is not None
    assert 0.02 < found.shift < 0.1
