"""Reads the released figures out of an evaluation: its secure sum, and the sites' own tables.

Everything here is arithmetic on counts that are already noisy, so it costs no
privacy. Intervals are 95 % and cover both the sampling of patients and the
noise; where the noise drowns the patients the figure is not available, and
says why.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compliance.facts.interval import Interval, score_bounds
from compliance.facts.release_rule import is_released
from compliance.facts.released_metrics import TOO_FEW, WIDEST, auroc_from_histogram
from compliance.facts.risk_figures import RiskFigures, risk_figures
from protocol.vectors.score_grid import ScoreGrid

#: So many deviations of its noise a number of patients is taken to lie off at most.
_MARGIN = 2.0
#: Whether a share is shown is asked of one like this.
_USUAL = 0.8


@dataclass(frozen=True, kw_only=True)
class ReleasedSite:
    """The figures of one hospital's own table, with its noise."""

    accuracy: Interval
    sensitivity: Interval
    specificity: Interval


@dataclass(frozen=True, kw_only=True)
class Released:
    """The released figures of the evaluation round."""

    auroc: Interval
    accuracy: Interval
    risks: RiskFigures
    sites: Mapping[str, ReleasedSite]


def released_json(released: Released) -> dict[str, Any]:
    """Returns the released figures as the store keeps them; undone by ``released_from``."""
    return {
        "auroc": asdict(released.auroc),
        "accuracy": asdict(released.accuracy),
        "risks": asdict(released.risks),
        "sites": {site: asdict(figures) for site, figures in released.sites.items()},
    }


def released_from(kept: Mapping[str, Any]) -> Released:
    """Returns the released figures that the store keeps."""
    return Released(
        auroc=Interval(**kept["auroc"]),
        accuracy=Interval(**kept["accuracy"]),
        risks=risks_from(kept["risks"]),
        sites={
            site: ReleasedSite(**{name: Interval(**figure) for name, figure in figures.items()})
            for site, figures in kept["sites"].items()
        },
    )


def risks_from(kept: Mapping[str, Any]) -> RiskFigures:
    """Returns what the store keeps of a model's risks."""
    figures = {name: Interval(**figure) for name, figure in kept.items() if name != "shift"}
    return RiskFigures(shift=kept["shift"], **figures)


def released_metrics(
    counts: NDArray[np.float64],
    deviation: float,
    tables: Mapping[str, NDArray[np.float64]],
    table_deviations: Mapping[str, float],
    *,
    grid: ScoreGrid,
    declared: float | None = None,
) -> Released:
    """Returns the figures of an evaluation.

    Args:
        counts: (2, bins) the pooled counts of the secure sum, in patients.
        deviation: noise deviation in patients of each of them.
        tables: the (2, 2) table that each site in the sum has signed, in patients.
        table_deviations: noise deviation in patients of each site's table cells.
        grid: where the bins of the counts lie.
        declared: the prevalence that the study declares, if any.
    """
    estimate = auroc_from_histogram(counts, deviation)
    sites = {site: site_figures(table, table_deviations[site]) for site, table in tables.items()}
    pooled = np.sum(list(tables.values()), axis=0)
    pooled_noise = math.sqrt(sum(table_deviations[site] ** 2 for site in tables))
    pooled_figures = site_figures(pooled, pooled_noise)
    negatives, positives = map(float, pooled.sum(axis=1))
    released = is_released(
        negatives,
        positives,
        bins=counts.shape[1],
        noise_sigma=deviation,
    )
    return Released(
        auroc=Interval(
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            note=estimate.note if released else TOO_FEW,
        ),
        accuracy=pooled_figures.accuracy,
        risks=risk_figures(
            counts,
            deviation,
            pooled,
            pooled_noise,
            sensitivity=pooled_figures.sensitivity,
            grid=grid,
            declared=declared,
        ),
        sites=sites,
    )


def site_figures(table: NDArray[np.float64], deviation: float) -> ReleasedSite:
    """Returns what a (2, 2) table says, each cell with noise of this deviation, in patients."""
    (true_negative, false_positive), (false_negative, true_positive) = table
    return ReleasedSite(
        accuracy=proportion(
            true_negative + true_positive, false_positive + false_negative, deviation * math.sqrt(2)
        ),
        sensitivity=proportion(true_positive, false_negative, deviation),
        specificity=proportion(true_negative, false_positive, deviation),
    )


def proportion(successes: float, failures: float, deviation: float) -> Interval:
    """Returns successes / (successes + failures) with a 95 % interval.

    Args:
        successes, failures: counts, each with independent noise of standard
            deviation ``deviation``; they may be negative.
        deviation: in patients; 0 when nothing was added.

    The number of patients is known up to the noise of the sum; half the difference of the
    counts has a noise that tells nothing of the sum's. So the interval is laid, by Wilson's
    rule, around that difference for the least and the greatest number of patients that the
    sum allows, and whether it is shown is asked of the sum alone: to choose by the sum
    chooses no draw of the difference.
    """
    count = successes + failures
    least, most = (count + sign * _MARGIN * deviation * math.sqrt(2) for sign in (-1, 1))
    if least <= (1.0 if deviation else 1e-9):
        note = TOO_FEW if deviation else "no patients"
        return Interval(value=None, low=None, high=None, note=note)
    value = min(1.0, max(0.0, successes / count))
    low, high = _share_bounds((successes - failures) / 2, least, most, deviation)
    usual = _share_bounds((_USUAL - 0.5) * count, least, most, deviation)
    note = TOO_FEW if deviation and (usual[1] - usual[0]) / 2 > WIDEST else ""
    return Interval(value=value, low=min(low, value), high=max(high, value), note=note)


def _share_bounds(
    difference: float, least: float, most: float, deviation: float
) -> tuple[float, float]:
    """Returns the bounds of a share over ``least`` to ``most`` patients, from half a difference."""
    bounds = []
    for count in {least, most}:
        share = min(1.0, max(0.0, 0.5 + difference / count))
        noise = deviation**2 / 2 / count**2
        bounds.append(
            score_bounds(share, lambda p, n=count, noise=noise: p * (1 - p) / n + noise)  # type: ignore[misc]
        )
    return min(low for low, _ in bounds), max(high for _, high in bounds)
