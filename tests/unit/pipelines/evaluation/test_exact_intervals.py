"""Intervals of exact figures against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.exact_intervals import (
    NOT_AVAILABLE,
    auroc_difference,
    auroc_interval,
    share_interval,
)
from pipelines.evaluation.metrics import auroc

COUNTS = st.integers(min_value=1, max_value=400)
SHARES = st.floats(min_value=0, max_value=1)


@given(value=SHARES, positives=COUNTS, negatives=COUNTS)
def test_an_aurocs_interval_holds_it_has_a_width_and_a_mirror(value, positives, negatives):
    found = auroc_interval(value, positives, negatives)
    assert 0 <= found.low <= value <= found.high <= 1 and found.low < found.high
    mirror = auroc_interval(1 - value, positives, negatives)
    assert (1 - mirror.high, 1 - mirror.low) == pytest.approx((found.low, found.high), abs=1e-6)


def test_an_aurocs_bounds_lie_two_of_their_own_deviations_away():
    """Hanley and McNeil's variance at the bound, with the mean of the two counts in both places."""
    value, positives, negatives = 0.8, 20, 30
    found = auroc_interval(value, positives, negatives)
    for bound in (found.low, found.high):
        one, two = bound / (2 - bound), 2 * bound**2 / (1 + bound)
        more = (positives + negatives) / 2 - 1
        variance = bound * (1 - bound) + more * (one - bound**2) + more * (two - bound**2)
        deviation = math.sqrt(variance / (positives * negatives))
        assert abs(value - bound) == pytest.approx(1.959964 * deviation, rel=1e-5)


def test_a_shares_interval_is_wilsons():
    from scipy.stats import binomtest

    for successes, count in ((0, 5), (8, 10), (50, 50), (3, 400)):
        theirs = binomtest(successes, count).proportion_ci(0.95, method="wilson")
        found = share_interval(successes, count)
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_a_difference_is_delongs():
    random = np.random.default_rng(3)
    labels = (random.random(60) < 0.3).astype(float)
    first = np.round(random.normal(labels, 1), 1)  # with ties
    second = np.round(first + random.normal(0, 1, 60), 1)
    kernel = [
        (np.sign(s[labels > 0][:, None] - s[labels == 0][None, :]) + 1) / 2 for s in (first, second)
    ]
    less = kernel[0] - kernel[1]
    variance = less.mean(axis=1).var(ddof=1) / less.shape[0]
    variance += less.mean(axis=0).var(ddof=1) / less.shape[1]
    found = auroc_difference(first, second, labels)
    assert found.value == pytest.approx(auroc(first, labels) - auroc(second, labels))
    assert found.high - found.value == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-5)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_what_patients_cannot_support_is_not_available():
    assert auroc_interval(None, 3, 3) == auroc_interval(1.0, 3, 0) == NOT_AVAILABLE
    assert share_interval(0, 0) == NOT_AVAILABLE
    scores, labels = np.arange(5.0), np.array([0.0, 0, 0, 0, 1])
    assert auroc_difference(scores, scores, labels * 0) == NOT_AVAILABLE
    assert auroc_difference(scores, scores * math.nan, labels) == NOT_AVAILABLE
    few = auroc_difference(scores, -scores, labels)
    assert (few.value, few.low, few.high) == (1.0, None, None)
