"""Patients of made-up populations: their scores, as logits, and whether they are ill."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.metrics import auroc
from pipelines.evaluation.risk_metrics import (
    average_precision,
    brier_score,
    calibration_intercept,
    calibration_slope,
)
from protocol.vectors.score_grid import ScoreGrid

Floats = NDArray[np.float64]
#: Of a model with an AUROC of 0.8.
APART = NormalDist().inv_cdf(0.8) * math.sqrt(2)


def risk(logits: Floats) -> Floats:
    """Returns the risks of logits."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -500, 500))))


def patients(
    kind: str, ill: float, count: int, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Returns (count,) logits and labels.

    ``kind``: "well spread" is calibrated, with normal scores in both classes; "too sure" and
    "too low" are the same with twice the logits and with one taken off; "piled near 0 and 1" and
    "narrow" are badly calibrated; of "skewed" and "two groups", both calibrated, the scores of
    all patients are exponential and in two narrow heaps, whatever ``ill`` says.
    """
    if kind == "skewed":
        logits = random.exponential(1.3, count) - 3
        return logits, (random.random(count) < risk(logits)).astype(np.float64)
    if kind == "two groups":
        logits = random.normal(np.where(random.random(count) < 0.2, 1.5, -3.0), 0.4)
        return logits, (random.random(count) < risk(logits)).astype(np.float64)
    labels = (random.random(count) < ill).astype(np.float64)
    places = random.normal(size=count) + APART * (labels - 0.5)
    calibrated = APART * places + math.log(ill / (1 - ill))
    logits = {
        "well spread": calibrated,
        "too sure": 2 * calibrated,
        "too low": calibrated - 1,
        "piled near 0 and 1": np.sign(places - 0.1) * 6 + 2 * places,
        "narrow": 0.01 * places + 0.2,
    }[kind]
    return logits, labels


@dataclass(frozen=True, kw_only=True)
class Population:
    """Many patients, as counts of scores in bins that lie around them, and the true figures."""

    grid: ScoreGrid
    bins: int
    shares: Floats  # (2, bins) of all patients
    figures: dict[str, float]

    @classmethod
    def of(
        cls,
        kind: str,
        ill: float,
        bins: int,
        *,
        count: int = 100_000,
        beside: tuple[float, float] = (0, 1),
    ) -> "Population":
        """Returns a population; ``beside`` moves the grid by spreads, and widens it by a factor."""
        logits, labels = patients(kind, ill, count, np.random.default_rng(7))
        spread = float(logits.std())
        grid = ScoreGrid(
            centre=float(logits.mean()) + beside[0] * spread, spread=spread * beside[1]
        )
        places = np.searchsorted(grid.edges(bins), logits, side="right")
        cells = labels.astype(np.int64) * bins + places
        groups = min(8, bins)
        gaps = np.bincount(places * groups // bins, labels - risk(logits), minlength=groups)
        return cls(
            grid=grid, bins=bins,
            shares=np.bincount(cells, minlength=2 * bins).reshape(2, bins) / count,
            figures={
                "auroc": auroc(logits, labels) or 0.0,
                "auprc": average_precision(logits, labels) or 0.0,
                "brier": brier_score(logits, labels) or 0.0,
                "ece": float(np.abs(gaps).sum()) / count,
                "calibration_slope": calibration_slope(logits, labels) or 0.0,
                "calibration_intercept": calibration_intercept(logits, labels) or 0.0,
            },
        )  # fmt: skip

    def counts(self, drawn: int, deviation: float, random: np.random.Generator) -> Floats:
        """Returns the noised (2, bins) counts of so many patients drawn."""
        counts = random.multinomial(drawn, self.shares.reshape(-1)).reshape(2, self.bins)
        return np.asarray(counts + random.normal(0, deviation, counts.shape))
