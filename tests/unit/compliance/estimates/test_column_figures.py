"""Figures of a counted column: exact without noise, covered by their intervals with it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.estimates.column_figures import (
    NOBODY,
    TOO_SMALL,
    ColumnFigures,
    column_figures,
    counted_patients,
)
from compliance.estimates.interval import Interval
from compliance.estimates.withholding import TOO_FEW
from protocol.vectors.column_counts import counted_numbers

AGE = counted_numbers("age", (20.0, 80.0), 4)


def cells_of(places: np.ndarray, missing: int) -> np.ndarray:
    """What patients at these places, from -1 to 1, add to a column with four bins."""
    bins, _ = np.histogram(places, bins=4, range=(-1, 1))
    return np.array([missing, places.sum(), (2 * places**2 - 1).sum(), *bins], dtype=float)


def drawn(random: np.random.Generator, patients: int, middle: float, spread: float) -> np.ndarray:
    return np.clip(random.normal(middle, spread, patients), -1, 1)


def shown(figures: ColumnFigures) -> dict[str, Interval]:
    assert figures.mean is not None
    assert figures.deviation is not None
    return {
        "mean": figures.mean, "deviation": figures.deviation, "missing": figures.missing,
        "patients": figures.patients, "second": figures.shares[1], "last": figures.shares[3],
    }  # fmt: skip


def truth(places: np.ndarray, missing: int) -> dict[str, float]:
    bins, _ = np.histogram(places, bins=4, range=(-1, 1))
    return {
        "mean": 50 + 30 * places.mean(), "deviation": 30 * places.std(),
        "missing": missing / (len(places) + missing), "patients": len(places),
        "second": bins[1] / len(places), "last": bins[3] / len(places),
    }  # fmt: skip


def test_without_noise_figures_are_exact() -> None:
    places = drawn(np.random.default_rng(1), 500, 0.1, 0.4)
    found = shown(column_figures(AGE, 560.0, cells_of(places, 60), 0.0))
    for name, value in truth(places, 60).items():
        assert found[name].value == pytest.approx(value)


@pytest.mark.parametrize(
    ("patients", "missing", "deviation", "middle", "spread"),
    [(860, 60, 31.0, 0.1, 0.3), (920, 0, 31.0, 0.0, 0.12), (4500, 500, 60.0, 0.3, 0.25)],
)
def test_intervals_hold_the_truth_of_these_patients_as_often_as_they_say(
    patients: int, missing: int, deviation: float, middle: float, spread: float
) -> None:
    random, draws = np.random.default_rng(5), 400
    held: dict[str, list[bool]] = {}
    for _ in range(draws):
        places = drawn(random, patients, middle, spread)
        cells = cells_of(places, missing) + random.normal(0, deviation, AGE.size)
        whole = patients + missing + random.normal(0, deviation)
        found, true = shown(column_figures(AGE, whole, cells, deviation)), truth(places, missing)
        for name, figure in found.items():
            if figure.low is not None and figure.high is not None:
                held.setdefault(name, []).append(figure.low <= true[name] <= figure.high)
    for name, hits in held.items():
        assert np.mean(hits) >= 0.95 - 3 * (0.95 * 0.05 / len(hits)) ** 0.5, name
    assert {"mean", "deviation", "patients"} <= held.keys()


def test_too_few_patients_for_the_noise_give_no_figure_and_say_so() -> None:
    places = drawn(np.random.default_rng(2), 40, 0.0, 0.3)
    found = shown(column_figures(AGE, 40.0, cells_of(places, 0), 30.0))
    assert {found[name].note for name in ("mean", "deviation", "missing", "second")} == {TOO_FEW}
    assert all(figure.value is None for name, figure in found.items() if name != "patients")


def test_whether_a_mean_is_shown_does_not_depend_on_what_was_drawn_of_it() -> None:
    random, kept = np.random.default_rng(3), set()
    for _ in range(200):
        cells = np.array([0.0, *random.normal(0, 400, 6)])
        figures = column_figures(AGE, 500.0, cells, 30.0)
        assert figures.mean is not None
        assert figures.deviation is not None
        kept.add((figures.mean.note, figures.deviation.note))
    assert len(kept) == 1


def test_small_counts_are_withheld_with_and_without_noise() -> None:
    places = np.concatenate([np.full(9, -0.9), np.full(300, 0.6)])
    for deviation in (0.0, 1.0):
        figures = column_figures(AGE, 318.0, cells_of(places, 9), deviation)
        assert figures.shares[0].note == figures.missing.note == TOO_SMALL
        assert figures.shares[0].value is figures.missing.value is None
        assert figures.shares[3].value == pytest.approx(300 / 309)
    assert counted_patients(9.4, 3.0).value is None


def test_nobody_has_no_figures() -> None:
    figures = column_figures(AGE, 0.0, np.zeros(AGE.size), 0.0)
    assert figures.mean is not None
    assert figures.mean.note == NOBODY


@given(
    patients=st.floats(-1e4, 1e6),
    cells=st.lists(st.floats(-1e6, 1e6), min_size=AGE.size, max_size=AGE.size),
    deviation=st.sampled_from([0.0, 1.0, 50.0, 1e5]),
)
def test_figures_stay_in_their_range_whatever_noise_makes_of_the_counts(
    patients: float, cells: list[float], deviation: float
) -> None:
    found = shown(column_figures(AGE, patients, np.array(cells), deviation))
    limits = {"mean": (20, 80), "deviation": (0, 30), "patients": (0, 2e6)}
    for name, figure in found.items():
        if figure.value is None or figure.low is None or figure.high is None:
            assert figure.note
            continue
        low, high = limits.get(name, (0, 1))
        assert low - 1e-9 <= figure.low <= figure.value <= figure.high
        if name != "patients":
            assert figure.high <= high + 1e-9


def test_figures_are_kept_as_json_and_read_again() -> None:
    places = drawn(np.random.default_rng(4), 300, 0.0, 0.4)
    figures = column_figures(AGE, 330.0, cells_of(places, 30), 5.0)
    written = figures.to_json()
    assert json.loads(json.dumps(written)) == written
    assert ColumnFigures.from_json(written) == figures
