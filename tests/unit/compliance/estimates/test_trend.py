"""The trend of figures with intervals: its slope, its size, and when there is no line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.estimates.interval import Z95, Interval
from compliance.estimates.trend import trend, trend_text


def around(value: float, half: float = 0.05) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


UNKNOWN = Interval(value=None, low=None, high=None, note="too few patients")


@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(3, 9))
def test_figures_on_a_line_give_that_line(level: float, slope: float, count: int) -> None:
    found = trend([(float(x), around(level + slope * x)) for x in range(count)])
    assert found is not None
    assert found.slope == pytest.approx(slope, abs=1e-9)
    assert found.begin == pytest.approx((0.0, level), abs=1e-9)
    assert found.end == pytest.approx((count - 1.0, level + slope * (count - 1)), abs=1e-9)


def test_the_interval_is_that_of_numpys_weighted_fit() -> None:
    values, halves = [0.61, 0.7, 0.66, 0.81], [0.05, 0.1, 0.02, 0.06]
    found = trend([(float(x), around(v, h)) for x, (v, h) in
                   enumerate(zip(values, halves, strict=True))])  # fmt: skip
    assert found is not None
    weights = [Z95 / half for half in halves]
    (slope, _), scaled = np.polyfit(range(4), values, 1, w=weights, cov=True)
    _, unscaled = np.polyfit(range(4), values, 1, w=weights, cov="unscaled")
    wider = max(float(scaled[0, 0]), float(unscaled[0, 0]))
    assert found.slope == pytest.approx(float(slope))
    assert (found.high - found.low) / 2 == pytest.approx(Z95 * wider**0.5, rel=1e-6)


def test_a_figure_at_the_bound_of_its_range_is_no_surer_for_the_missing_side() -> None:
    rest = [(float(place), around(0.8)) for place in (1, 2, 3)]
    cut = trend([(0.0, Interval(value=1.0, low=0.85, high=1.0)), *rest])
    assert cut == trend([(0.0, around(1.0, 0.15)), *rest])


def test_of_figures_without_a_trend_a_line_is_shown_in_five_of_a_hundred_at_most() -> None:
    random, half = np.random.default_rng(5), 0.05
    drawn = random.normal(0.7, half / Z95, size=(2000, 6))
    shown = [
        bool((t := trend([(float(x), around(float(v), half)) for x, v in enumerate(row)]))
             and t.is_shown)
        for row in drawn
    ]  # fmt: skip
    assert 0.01 < np.mean(shown) < 0.06
    together = [
        bool((t := trend([(float(x), around(float(v), half)) for x, v in enumerate(row)],
                         families=10)) and t.is_shown)
        for row in drawn
    ]  # fmt: skip
    assert np.mean(together) < 0.01


def test_two_figures_or_one_place_have_no_trend_and_unknown_ones_do_not_count() -> None:
    assert trend([(0.0, around(0.1)), (1.0, around(0.9))]) is None
    assert trend([(1.0, around(0.1))] * 4) is None
    assert trend([(0.0, around(0.1)), (1.0, UNKNOWN), (2.0, around(0.9))]) is None


def test_sentences_say_why_there_is_a_line_or_none() -> None:
    steep = trend([(float(x), around(0.2 * x)) for x in range(4)])
    flat = trend([(float(x), around(0.7)) for x in range(4)])
    assert "trend that the intervals allow: +0.2 each round" in trend_text(steep, "round")
    assert "No line is drawn: with these intervals" in trend_text(flat, "round")
    assert "needs 3 figures" in trend_text(None, "round")
