"""AUPRC, Brier score and calibration from noised counts: right without noise, honest with it."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve as scikit_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss

from compliance.estimates.binned_scores.auprc import average_precision, released_auprc
from compliance.estimates.binned_scores.brier import brier_score, released_brier_score
from compliance.estimates.binned_scores.calibration import (
    CalibrationPoint,
    calibration_curve,
    calibration_error,
    released_calibration_error,
)
from compliance.estimates.binned_scores.calibration_line import (
    calibration_intercept,
    calibration_slope,
    released_intercept,
    released_slope,
)
from compliance.estimates.binned_scores.release_rule import usual_scores
from compliance.estimates.binned_scores.within_bins import BinnedScores
from compliance.estimates.withholding import TOO_FEW
from pipelines.evaluation.metrics import histogram
from pipelines.evaluation.risk_metrics import calibration_intercept as exact_intercept
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated.populations import Population, patients, risk

FIGURES = {
    "auprc": average_precision, "brier": brier_score, "ece": calibration_error,
    "calibration_slope": calibration_slope, "calibration_intercept": calibration_intercept,
}  # fmt: skip
#: Those that lie in [0, 1].
SHARES = ("auprc", "brier", "ece")
RELEASED = {
    "auprc": released_auprc, "brier": released_brier_score, "ece": released_calibration_error,
    "calibration_slope": released_slope, "calibration_intercept": released_intercept,
}  # fmt: skip
SKEWED = ("skewed", 0.2)
KINDS = [
    ("well spread", 0.3), ("well spread", 0.03), ("piled near 0 and 1", 0.3), ("narrow", 0.3),
    SKEWED,
]  # fmt: skip


def counted(
    kind: str, ill: float, count: int, bins: int
) -> tuple[BinnedScores, np.ndarray, np.ndarray]:
    logits, labels = patients(kind, ill, count, np.random.default_rng(3))
    grid = ScoreGrid.around(logits)
    return BinnedScores.of(histogram(logits, labels, grid.edges(bins)), 0.0, grid), logits, labels


@pytest.mark.parametrize(("kind", "ill"), KINDS)
def test_without_noise_figures_are_those_of_scikit_learn_but_for_the_grid(
    kind: str, ill: float
) -> None:
    scores, logits, labels = counted(kind, ill, 100_000, 64)
    exact = {
        "auprc": average_precision_score(labels, logits),
        "brier": brier_score_loss(labels, risk(logits)),
    }
    for name, within in (("auprc", 0.006), ("brier", 0.001)):
        value, low, high = FIGURES[name](scores)
        assert abs(value - exact[name]) < within
        assert low <= exact[name] <= high
    gaps = [(labels - risk(logits))[part] for part in _groups(scores, logits)]
    error = sum(abs(gap.sum()) for gap in gaps) / len(logits)
    value, low, high = calibration_error(scores)
    assert abs(value - error) < 0.005 and low <= max(error, low) <= high


@pytest.mark.parametrize(("kind", "ill", "bins"), [(*kind, 64) for kind in KINDS] + [(*SKEWED, 16)])
def test_without_noise_slope_and_intercept_are_those_of_a_logistic_regression(
    kind: str, ill: float, bins: int
) -> None:
    scores, logits, labels = counted(kind, ill, 50_000, bins)
    value, low, high = calibration_slope(scores)
    spread = logits.std()
    exact = LogisticRegression(C=np.inf).fit(logits[:, None] / spread, labels).coef_[0, 0] / spread
    assert value == pytest.approx(exact, rel=0.02, abs=0.02) and low <= exact <= high
    value, low, high = calibration_intercept(scores)
    assert value == pytest.approx(exact_intercept(logits, labels), abs=0.02) and low < value < high


def _groups(scores: BinnedScores, logits: np.ndarray) -> list[np.ndarray]:
    places = np.searchsorted(scores.grid.edges(scores.bins), logits, side="right")
    return [places * 8 // scores.bins == group for group in range(8)]


def test_the_curve_without_noise_is_that_of_scikit_learn_by_the_same_groups() -> None:
    scores, logits, labels = counted("too sure", 0.3, 20_000, 16)
    usual = usual_scores((14_000.0, 6_000.0), 16, 0.0)
    points = calibration_curve(scores, usual)
    assert len(points) == 8
    for point, part in zip(points, _groups(scores, logits), strict=True):
        ill, mean = scikit_curve(labels[part], risk(logits[part]), n_bins=1)
        assert point.ill.value == pytest.approx(ill[0])
        assert point.risk.value == pytest.approx(mean[0], abs=0.01)
        assert point.part.value == pytest.approx(part.mean())
        assert CalibrationPoint.from_json(point.to_json()) == point


#: Population, share of the ill, bins, patients and noise; the width asked is in ``WIDEST``.
DRAWN = [
    ("well spread", 0.3, 16, 1000, 5.0),
    ("well spread", 0.05, 16, 5000, 5.0),
    ("too sure", 0.3, 8, 300, 2.0),
]
WIDEST = 1.5


@pytest.mark.parametrize(("kind", "ill", "bins", "drawn", "deviation"), DRAWN)
def test_intervals_hold_the_truth_and_are_no_wider_than_half_as_much_again_as_an_oracles(
    kind: str, ill: float, bins: int, drawn: int, deviation: float
) -> None:
    """The oracle knows the deviation of the figure over the draws of patients and of noise."""
    population, random = Population.of(kind, ill, bins), np.random.default_rng(11)
    found = {name: [] for name in (FIGURES if bins == 8 else SHARES)}
    for _ in range(80):
        counts = population.counts(drawn, deviation, random)
        scores = BinnedScores.of(counts, deviation, population.grid)
        for name, figures in found.items():
            figures.append(FIGURES[name](scores))
    for name, figures in found.items():
        values, lows, highs = np.array(figures).T
        truth = population.figures[name]
        held = ((lows <= truth) & (truth <= highs)).mean()
        assert held >= 0.93, name
        assert (highs - lows).mean() <= WIDEST * 3.92 * values.std(), name


def test_a_points_share_and_risk_hold_the_truth() -> None:
    population, random = Population.of("too sure", 0.3, 16), np.random.default_rng(12)
    usual = usual_scores((700.0, 300.0), 16, 4.0)
    groups = population.shares.reshape(2, 8, 2).sum(axis=2)
    truth = groups[1] / groups.sum(axis=0)
    held = []
    for _ in range(40):
        counts = population.counts(1000, 4.0, random)
        points = calibration_curve(BinnedScores.of(counts, 4.0, population.grid), usual)
        held += [p.ill.low <= t <= p.ill.high for p, t in zip(points, truth, strict=True)]
        held += [
            p.part.low <= t <= p.part.high for p, t in zip(points, groups.sum(axis=0), strict=True)
        ]
    assert np.mean(held) >= 0.93


@pytest.mark.parametrize("name", FIGURES)
def test_too_few_patients_is_decided_by_the_sizes_of_the_classes_and_never_by_the_counts(
    name: str,
) -> None:
    scores, _, _ = counted("well spread", 0.3, 3000, 16)
    noised = BinnedScores.of(scores.counts, 20.0, scores.grid)
    few = RELEASED[name](noised, usual_scores((290.0, 10.0), 16, 20.0))
    assert (few.value, few.low, few.note) == (None, None, TOO_FEW)
    enough = RELEASED[name](scores, usual_scores((2100.0, 900.0), 16, 0.0))
    assert enough.value is not None and not enough.note


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("place", [0, 1])
def test_of_one_class_nothing_is_said(name: str, place: int) -> None:
    counts = np.zeros((2, 16))
    counts[place] = 100.0
    sizes = (1600.0, 0.0) if place == 0 else (0.0, 1600.0)
    scores = BinnedScores.of(counts, 0.0, ScoreGrid())
    found = RELEASED[name](scores, usual_scores(sizes, 16, 0.0))
    assert found.value is None and found.note == "too few patients"
    # the tables say otherwise than the counts
    found = RELEASED[name](scores, usual_scores((800.0, 800.0), 16, 0.0))
    assert found.value is None and found.note == "too few patients"


def test_ties_all_in_one_bin_leave_the_order_open_and_the_interval_says_so() -> None:
    counts = np.zeros((2, 16))
    counts[:, -1] = 700.0, 300.0
    scores = BinnedScores.of(counts, 0.0, ScoreGrid())
    _, low, high = average_precision(scores)
    assert low < 0.3 and high > 0.85
    _, low, high = brier_score(scores)
    assert low < 0.3 * 0.18**2 + 0.7 * 0.82**2 and high > 0.7


@pytest.mark.parametrize("beside", [(1.5, 1.0), (-1.5, 0.5), (0.0, 3.5)])
def test_a_grid_beside_the_scores_widens_the_interval(beside: tuple[float, float]) -> None:
    population = Population.of("well spread", 0.3, 16, beside=beside)
    scores = BinnedScores.of(population.shares * 20_000, 0.0, population.grid)
    for name in SHARES:
        value, low, high = FIGURES[name](scores)
        assert low - 1e-3 <= population.figures[name] <= high, name
        assert low <= value <= high or name == "ece"


@pytest.mark.parametrize("deviation", [0.0, 3.0, 40.0])
def test_figures_stay_in_order_between_0_and_1_whatever_the_counts(deviation: float) -> None:
    random = np.random.default_rng(5)
    for bins in (4, 5, 8, 16):
        for _ in range(3):
            counts = random.poisson(random.choice([0.3, 5, 200], (2, bins))) + random.normal(
                0, deviation, (2, bins)
            )
            scores = BinnedScores.of(counts, deviation, ScoreGrid(centre=-1.0, spread=2.0))
            if not scores.has_both:
                continue
            for name, figure in FIGURES.items():
                value, low, high = figure(scores)
                assert np.isfinite([value, low, high]).all() and low <= high
                assert name not in SHARES or (0 <= low and high <= 1 and 0 <= value <= 1)
            points = calibration_curve(scores, usual_scores((700.0, 300.0), bins, deviation))
            assert len(points) == min(8, bins)


def test_where_scores_lie_in_bins_keeps_every_bins_counts() -> None:
    scores, _, _ = counted("piled near 0 and 1", 0.3, 5000, 16)
    assert scores.shares.min() >= 0
    assert np.allclose(scores.weights.sum(axis=2), scores.counts)
    halved = scores.halved
    assert halved is not None and halved.counts.sum() == scores.counts.sum()
    assert BinnedScores.of(np.ones((2, 5)), 0.0, ScoreGrid()).halved is None


@pytest.mark.parametrize(("patients", "deviation", "seed"), [(3000, 30.0, 108), (1000, 10.0, 15)])
def test_a_bin_that_noise_leaves_to_one_class_alone_keeps_every_figure_a_number(
    patients: int, deviation: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    labels = (random.random(patients) < 0.3) * 1.0
    logits = random.normal(size=patients) * 0.3 + 2 * labels
    grid = ScoreGrid(centre=float(logits.mean()), spread=float(logits.std()))
    counts = histogram(logits, labels, grid.edges(64)) + random.normal(0, deviation, (2, 64))
    scores = BinnedScores.of(counts, deviation, grid)
    assert np.allclose(scores.weights.sum(axis=2), scores.counts)
    usual = usual_scores((0.7 * patients, 0.3 * patients), 64, deviation)
    for released in RELEASED.values():
        found = released(scores, usual)
        known = (found.value, found.low, found.high)
        assert found.note or np.isfinite(np.array(known, dtype=float)).all()


def test_a_brier_score_below_nothing_has_bounds_in_order() -> None:
    counts = np.array([[-4.8, 16.2, 6.4, 10.7], [-19.6, -3.9, 23.5, 44.8]])
    value, low, high = brier_score(BinnedScores.of(counts, 1.0, ScoreGrid(spread=1e8)))
    assert 0 <= low <= value <= high <= 1
