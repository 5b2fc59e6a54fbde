"""Exact figures of risks equal scikit-learn's; what cannot be said is None."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss

from pipelines.evaluation.risk_metrics import (
    average_precision,
    brier_score,
    calibration_error,
    calibration_intercept,
    calibration_slope,
)

PATIENTS = st.lists(
    st.tuples(st.sampled_from([-3.0, -0.5, 0.0, 1.25, 4.0]), st.booleans()), min_size=1
)


@given(PATIENTS)
def test_average_precision_and_brier_score_are_scikit_learns_ties_included(pairs) -> None:
    scores, labels = np.array(pairs, dtype=float).T
    risks = 1 / (1 + np.exp(-scores))
    assert brier_score(scores, labels) == pytest.approx(
        brier_score_loss(labels, risks, pos_label=1)
    )
    expected = average_precision_score(labels, scores) if labels.any() else None
    assert average_precision(scores, labels) == (
        None if expected is None else pytest.approx(expected)
    )


def test_the_calibration_error_is_that_of_scikit_learns_curve_by_quantiles() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(size=4001)
    labels = (random.random(4001) < 0.3).astype(float)
    ill, mean = calibration_curve(labels, 1 / (1 + np.exp(-scores)), n_bins=8, strategy="quantile")
    assert calibration_error(scores, labels) == pytest.approx(np.abs(ill - mean).mean(), abs=2e-4)


def test_slope_and_intercept_are_those_of_a_logistic_regression() -> None:
    random = np.random.default_rng(2)
    scores = random.normal(-1, 2, 3000)
    labels = (random.random(3000) < 1 / (1 + np.exp(0.4 - 0.5 * scores))).astype(float)
    line = LogisticRegression(C=np.inf, tol=1e-8).fit(scores[:, None], labels)
    assert calibration_slope(scores, labels) == pytest.approx(line.coef_[0, 0], abs=1e-4)
    added = calibration_intercept(scores, labels)
    assert (1 / (1 + np.exp(-scores - added))).mean() == pytest.approx(labels.mean())


def test_where_the_scores_keep_the_classes_apart_there_is_no_slope() -> None:
    scores, labels = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1])
    assert calibration_slope(scores, labels) is None
    assert calibration_slope(np.zeros(4), labels) is None
    assert calibration_intercept(scores, np.ones(4)) is None
    assert calibration_intercept(scores, labels) == pytest.approx(0)


@pytest.mark.parametrize(
    "figure",
    [average_precision, brier_score, calibration_error, calibration_slope, calibration_intercept],
)
def test_no_patients_and_scores_that_are_no_numbers_have_no_figure(figure) -> None:
    assert figure(np.array([]), np.array([])) is None
    assert figure(np.array([0.0, np.nan]), np.array([0, 1])) is None


def test_nobody_ill_has_no_average_precision() -> None:
    assert average_precision(np.array([0.0, 1.0]), np.array([0, 0])) is None
    assert brier_score(np.array([0.0, 0.0]), np.array([0, 0])) == 0.25
