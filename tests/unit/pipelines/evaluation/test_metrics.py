"""Exact metrics against the slow obvious definition, and edge cases that give no figure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipelines.evaluation.metrics import accuracy, auroc, histogram, two_by_two
from protocol.vectors.score_grid import ScoreGrid

SCORED = st.lists(st.tuples(st.integers(-6, 6), st.booleans()), max_size=40)


def unzip(scored):
    return np.array([s / 2 for s, _ in scored]), np.array([y for _, y in scored], dtype=float)


@given(SCORED)
def test_auroc_is_the_share_of_pairs_in_the_right_order(scored):
    positives = [s for s, y in scored if y]
    negatives = [s for s, y in scored if not y]
    wins = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    value = auroc(*unzip(scored))
    if not wins:
        assert value is None
    else:
        assert value == pytest.approx(np.mean(wins), abs=1e-12)


def test_auroc_equals_scikit_learns_on_many_scores():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 5000)
    values = np.round(random.normal(size=5000) + labels, 2)
    assert auroc(values, labels) == pytest.approx(roc_auc_score(labels, values), abs=1e-12)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_auroc_of_one_class_is_not_available(labels):
    assert auroc(np.zeros(len(labels)), np.array(labels)) is None


def test_figures_of_a_diverged_model_are_not_available():
    values, labels = np.array([np.nan, 1.0]), np.array([0, 1])
    assert auroc(values, labels) is None and accuracy(values, labels) is None


def test_infinite_scores_still_have_an_order():
    assert auroc(np.array([-np.inf, 0.0, np.inf]), np.array([0, 0, 1])) == 1.0


def test_accuracy_counts_the_right_side_of_zero():
    assert accuracy(np.array([-1.0, 0.0, 2.0, 3.0]), np.array([0, 0, 1, 0])) == 0.75
    assert accuracy(np.array([]), np.array([])) is None


@given(SCORED, st.integers(2, 20), st.floats(-9, 9), st.floats(0.001, 50))
def test_histogram_counts_every_score_once_by_label(scored, bins, centre, spread):
    logits, labels = unzip(scored)
    counts = histogram(logits, labels, ScoreGrid(centre=centre, spread=spread).edges(bins))
    assert counts.dtype == np.int64 and counts.shape == (2, bins)
    assert counts.sum(axis=1).tolist() == [(labels == 0).sum(), (labels == 1).sum()]


def test_histogram_agrees_with_numpys():
    logits = np.random.default_rng(0).uniform(-3.99, 3.99, 1000)
    edges = np.linspace(-4, 4, 17)
    counts = histogram(logits, np.ones(1000), edges[1:-1])
    assert counts[1].tolist() == np.histogram(logits, edges)[0].tolist()


def test_scores_beyond_the_grid_or_nan_still_count():
    logits = np.array([-np.inf, -99.0, 4.0, np.inf, np.nan])
    edges = np.array([-2.0, 0.0, 2.0])
    assert histogram(logits, np.zeros(5), edges)[0].tolist() == [2, 0, 1, 2]


def test_two_by_two_counts_label_by_prediction():
    table = two_by_two(np.array([-1.0, 2.0, 0.0, 5.0, np.nan]), np.array([0, 0, 1, 1, 1]))
    assert table.tolist() == [[1, 1], [2, 1]]


@pytest.mark.parametrize("edges", [[], [1.0, 1.0], [0.0, float("nan")]])
def test_edges_that_part_nothing_are_a_mistake(edges):
    with pytest.raises(ValueError, match="the edges of the bins must rise"):
        histogram(np.zeros(1), np.zeros(1), np.array(edges))
