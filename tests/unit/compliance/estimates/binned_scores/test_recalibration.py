"""Recalibration from released counts: a logistic regression, given where it is needed and known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from compliance.estimates.binned_scores.calibration_line import (
    Recalibration,
    recalibration,
    released_intercept,
    released_slope,
)
from compliance.estimates.binned_scores.release_rule import usual_scores
from compliance.estimates.binned_scores.within_bins import BinnedScores
from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier, run_json
from compliance.reports.sections.two_classes.calibration import recalibration_sentence
from coordinator.rounds.evaluation.released import Released, released_from, released_json
from pipelines.evaluation.metrics import histogram
from protocol.vectors.score_grid import ScoreGrid
from tests.support.machine.short_form import short_form
from tests.support.simulated import dossiers
from tests.support.simulated.alert_facts import risks

LINE = Recalibration(intercept=-1.2, slope=0.5, is_needed=True)


def counted(
    random: np.random.Generator, count: int, slope: float, intercept: float, noise: float
) -> tuple[BinnedScores, NDArray[np.float64], NDArray[np.float64]]:
    """Patients of whom the true log odds are intercept + slope x the model's logit."""
    logits = random.normal(-1.0, 1.5, count)
    labels = (random.random(count) < 1 / (1 + np.exp(-intercept - slope * logits))) * 1.0
    grid = ScoreGrid.around(logits)
    counts = histogram(logits, labels, grid.edges(32)) + random.normal(0, noise, (2, 32))
    return BinnedScores.of(counts, noise, grid), logits, labels


def usual(scores: BinnedScores, labels: NDArray[np.float64]) -> BinnedScores | None:
    sizes = float((labels == 0).sum()), float((labels > 0).sum())
    return usual_scores(sizes, scores.counts.shape[1], scores.deviation)


def line_of(scores: BinnedScores, of_usual: BinnedScores | None) -> Recalibration | None:
    slope, intercept = released_slope(scores, of_usual), released_intercept(scores, of_usual)
    return recalibration(scores, slope, intercept)


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, -1.0), (1.0, 0.7), (1.6, 0.2)])
def test_without_noise_it_is_a_logistic_regression_and_needed(
    slope: float, intercept: float
) -> None:
    random = np.random.default_rng(1)
    scores, logits, labels = counted(random, 60_000, slope, intercept, 0.0)
    found = line_of(scores, usual(scores, labels))
    fitted = LogisticRegression(C=np.inf).fit(logits[:, None], labels)
    assert found is not None and found.is_needed
    assert found.slope == pytest.approx(fitted.coef_[0, 0], abs=0.02)
    assert found.intercept == pytest.approx(fitted.intercept_[0], abs=0.03)
    for risk in (0.1, 0.5):
        at = intercept + slope * math.log(risk / (1 - risk))
        assert found.risk(risk) == pytest.approx(1 / (1 + math.exp(-at)), abs=0.03)


@pytest.mark.parametrize("noise", short_form([4.0, 0.0], 2))
def test_a_calibrated_model_is_rarely_said_to_need_it(noise: float) -> None:
    random, needed = np.random.default_rng(2), 0
    for _ in range(80):
        scores, _, labels = counted(random, 3000, 1.0, 0.0, noise)
        found = line_of(scores, usual(scores, labels))
        needed += found is not None and found.is_needed
    assert needed <= 0.1 * 80 + 2 * (80 * 0.09) ** 0.5, needed


def test_nothing_is_offered_to_few_patients_or_for_a_line_that_falls() -> None:
    random = np.random.default_rng(3)
    few, _, labels = counted(random, 40, 0.5, 0.0, 10.0)
    assert line_of(few, usual(few, labels)) is None
    falling, _, labels = counted(random, 20_000, -1.0, 0.0, 0.0)
    assert line_of(falling, usual(falling, labels)) is None


def test_page_and_json_say_it_with_its_cost_first_and_only_where_it_is_needed() -> None:
    said = recalibration_sentence(replace(dossiers.finished(), recalibration=LINE))
    assert said.startswith("Recalibration costs no privacy")
    assert "take -1.2 +0.5 x the model's output" in said
    assert "a risk of 0.9 becomes 0.47" in said
    kept = replace(LINE, is_needed=False)
    for line in (None, kept):
        assert recalibration_sentence(replace(dossiers.finished(), recalibration=line)) == ""
    dossier: Dossier = replace(dossiers.finished(), recalibration=LINE)
    assert run_json(dossier)["recalibration_released"] == LINE.to_json()
    assert run_json(dossiers.finished())["recalibration_released"] is None


def test_a_page_with_two_corrections_says_to_use_one() -> None:
    off = risks(Interval(value=0.15, low=0.1, high=0.2))
    shifted: Dossier = replace(
        dossiers.finished(), recalibration=LINE, risks=replace(off, shift=0.8)
    )
    assert "It takes the place of the number to add" in recalibration_sentence(shifted)
    alone = replace(dossiers.finished(), recalibration=LINE)
    assert "takes the place" not in recalibration_sentence(alone)


def test_the_store_keeps_it() -> None:
    released = Released(figures={}, sites={}, recalibration=LINE)
    assert released_from(released_json(released)).recalibration == LINE
    assert "recalibration" not in released_json(Released(figures={}, sites={}))


@pytest.mark.parametrize(
    ("intercept", "slope", "of_low", "of_high"),
    [(0.3, 600.0, 0.0, 1.0), (-900.0, 1.0, 0.0, 0.0), (900.0, 1.0, 1.0, 1.0)],
)
def test_a_line_of_hardly_trained_models_gives_risks_however_steep_it_is(
    intercept: float, slope: float, of_low: float, of_high: float
) -> None:
    line = Recalibration(intercept=intercept, slope=slope, is_needed=True)
    assert line.risk(0.1) == pytest.approx(of_low) and line.risk(0.9) == pytest.approx(of_high)
