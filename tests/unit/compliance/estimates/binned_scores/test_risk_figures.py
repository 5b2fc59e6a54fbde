"""Risks that contradict the share of the ill are told with their remedy, and never out of noise."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.estimates.withholding import TOO_FEW
from compliance.facts.dossier import run_json
from compliance.facts.model_warnings import model_warnings
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_csv, render_html, render_json
from pipelines.evaluation.metrics import histogram, two_by_two
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated import dossiers
from tests.support.simulated.evaluations import noised_counts, released_risks
from tests.support.simulated.reports import privacy_report

Floats = NDArray[np.float64]


def risk(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)))


def patients(count: int, share: float, seed: int = 1) -> tuple[Floats, Floats]:
    """Returns calibrated logits, (count,), and who is ill: risks are the true ones."""
    random = np.random.default_rng(seed)
    centre = math.log(share / (1 - share)) - 0.25
    logits = random.normal(centre, 1.2, count)
    return logits, (random.random(count) < risk(logits)).astype(np.float64)


def released(
    logits: Floats, ill: Floats, noise: float = 0.0, seed: int = 1, declared: float | None = None
) -> RiskFigures:
    """What an evaluation releases of four hospitals' counts, with this noise in each cell."""
    random = np.random.default_rng(seed)
    grid = ScoreGrid.around(logits)
    counts = histogram(logits, ill, grid.edges(8)) + random.normal(0, noise, (2, 8))
    table = two_by_two(logits, ill) + random.normal(0, noise, (2, 2))
    return released_risks(
        noised_counts(counts, noise, {"a": table}, {"a": noise}, grid=grid), declared
    )


def test_risks_that_are_far_too_low_are_told_with_what_to_add() -> None:
    logits, ill = patients(1500, 0.17)
    found = released(logits - 2.2, ill, noise=6.0, seed=2, declared=0.17)
    assert found.mean_risk.high is not None and found.mean_risk.high < 0.1
    assert found.shift is not None
    assert risk(logits - 2.2).mean() < 0.04
    # As small as the bins allow: rather too little than too much.
    assert 0.1 < risk(logits - 2.2 + found.shift).mean() < ill.mean()
    said, *more = model_warnings(0.8, None, found)
    assert said.startswith("The model's risks are too low (0.0")
    assert f"add {found.shift:+.2f} to its output" in said
    assert any("finds fewer than a tenth of the ill" in one for one in more)


def test_risks_that_are_too_high_are_brought_down() -> None:
    logits, ill = patients(1500, 0.1)
    found = released(logits + 2.0, ill, noise=4.0)
    assert found.shift is not None and found.shift < 0
    assert ill.mean() < risk(logits + 2.0 + found.shift).mean() < 0.2
    assert "risks are too high" in model_warnings(0.8, None, found)[0]


def test_a_declared_prevalence_that_the_patients_contradict_is_not_taken() -> None:
    logits, ill = patients(3000, 0.17)
    true, wrong = (released(logits - 2.2, ill, declared=share) for share in (0.17, 0.6))
    assert true.shift is not None and wrong.shift is not None
    assert abs(true.shift - wrong.shift) < 0.2


@pytest.mark.parametrize(
    ("count", "share", "noise"), [(200, 0.17, 6), (1000, 0.1, 8), (400, 0.5, 3)]
)
def test_noise_alone_warns_of_nothing(count: int, share: float, noise: float) -> None:
    """Of a calibrated model at most one draw in fifty is contradicted, or worse than nothing."""
    draws = [released(*patients(count, share, seed), noise, seed) for seed in range(100)]
    assert sum(found.contradict for found in draws) <= 2
    assert sum((found.excess_brier.low or -1) > 0 for found in draws) <= 2


def test_intervals_hold_the_truth() -> None:
    inside, truth = [], risk(patients(200_000, 0.2, 999)[0]).mean()
    for seed in range(200):
        logits, ill = patients(500, 0.2, seed)
        found = released(logits, ill, 5.0, seed)
        assert found.mean_risk.low is not None and found.mean_risk.high is not None
        inside.append(found.mean_risk.low <= truth <= found.mean_risk.high)
    assert np.mean(inside) >= 0.95


def test_what_noise_drowns_is_withheld() -> None:
    found = released(*patients(60, 0.2), noise=20.0)
    assert found.mean_risk.note == found.excess_brier.note == TOO_FEW
    assert found.mean_risk.value is None and found.shift is None
    assert model_warnings(None, None, found) == ()


def test_a_model_that_is_too_sure_is_worse_than_knowing_nothing() -> None:
    random = np.random.default_rng(3)
    ill = (random.random(2000) < 0.3).astype(np.float64)
    found = released(random.choice([-6.0, 6.0], 2000, p=[0.7, 0.3]), ill, noise=5.0)
    assert any(
        "worse than giving every patient" in said for said in model_warnings(None, None, found)
    )


def test_page_report_terminal_and_json_say_it() -> None:
    logits, ill = patients(1500, 0.17)
    risks = released(logits - 2.2, ill, noise=6.0)
    dossier = replace(dossiers.finished(), risks=risks)
    said = dossier.warnings[0].partition(" (")[0]
    found = run_json(dossier)
    assert said in found["warnings"][0] and found["risks_released"]["shift"] == risks.shift
    report = privacy_report(dossier)
    page = render_html(run_page(dossier, ()))
    for text in (page, render_html(report), render_json(report)):
        assert "risks are too low" in text
    assert "Mean risk by the model" in render_csv(report) and "Mean risk" in render_html(report)
    assert json.loads(json.dumps(found)) == found


#: Beside the scores as reference inputs placed them on real cohorts (docs/adr/0019).
BESIDE = [(0.0, 1.0), (1.5, 1.0), (-1.5, 1.0), (1.5, 0.5), (-1.5, 0.5), (0.0, 0.5), (0.0, 3.5)]


@pytest.mark.parametrize("bins", [4, 8, 16, 64])
@pytest.mark.parametrize(("off", "times"), BESIDE)
@pytest.mark.parametrize("shape", ["normal", "skewed", "two groups"])
def test_of_a_calibrated_model_nothing_false_is_said_wherever_the_bins_lie(
    shape: str, off: float, times: float, bins: int
) -> None:
    random = np.random.default_rng(4)
    drawn = {
        "normal": random.normal(-1.5, 1.3, 3000),
        "skewed": random.exponential(1.3, 3000) - 3.0,
        "two groups": random.normal(np.where(random.random(3000) < 0.2, 1.5, -3.0), 0.4),
    }
    logits = drawn[shape]
    ill = (random.random(3000) < risk(logits)).astype(np.float64)
    spread = logits.std()
    grid = ScoreGrid(centre=logits.mean() + off * spread, spread=times * spread)
    counts = histogram(logits, ill, grid.edges(bins)).astype(np.float64)
    found = released_risks(
        noised_counts(counts, 0.0, {"a": two_by_two(logits, ill)}, {"a": 0.0}, grid=grid)
    )
    share = ill.mean()
    truths = (
        (found.mean_risk, risk(logits).mean()),
        (found.lacking, share - risk(logits).mean()),
        (found.excess_brier, ((risk(logits) - ill) ** 2).mean() - share * (1 - share)),
    )
    for interval, truth in truths:
        assert interval.low is not None and interval.high is not None
        assert interval.low <= truth <= interval.high
    assert found.shift is None and not found.contradict
    assert not [word for word in model_warnings(0.8, None, found) if "risks are too" in word]
