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

from compliance.dossier import Interval
from compliance.released_metrics import TOO_FEW, WIDEST, Z95, auroc_from_histogram


@dataclass(frozen=True, kw_only=True)
class ReleasedSite:
    """What one hospital's own table says, with its noise."""

    accuracy: Interval
    sensitivity: Interval
    specificity: Interval


@dataclass(frozen=True, kw_only=True)
class Released:
    """What the evaluation round yields."""

    auroc: Interval
    accuracy: Interval
    sites: Mapping[str, ReleasedSite]


def released_json(released: Released) -> dict[str, Any]:
    """Returns the released figures as the store keeps them; undone by ``released_from``."""
    return {
        "auroc": asdict(released.auroc),
        "accuracy": asdict(released.accuracy),
        "sites": {site: asdict(figures) for site, figures in released.sites.items()},
    }


def released_from(kept: Mapping[str, Any]) -> Released:
    """Returns the released figures that the store keeps."""
    return Released(
        auroc=Interval(**kept["auroc"]),
        accuracy=Interval(**kept["accuracy"]),
        sites={
            site: ReleasedSite(**{name: Interval(**figure) for name, figure in figures.items()})
            for site, figures in kept["sites"].items()
        },
    )


def released_metrics(
    counts: NDArray[np.float64],
    deviation: float,
    tables: Mapping[str, NDArray[np.float64]],
    table_deviations: Mapping[str, float],
) -> Released:
    """Returns the figures of an evaluation.

    Args:
        counts: (2, bins) the pooled counts of the secure sum, in patients.
        deviation: noise deviation in patients of each of them.
        tables: the (2, 2) table that each site in the sum has signed, in patients.
        table_deviations: noise deviation in patients of each site's table cells.
    """
    estimate = auroc_from_histogram(counts, deviation)
    sites = {site: site_figures(table, table_deviations[site]) for site, table in tables.items()}
    pooled = np.sum(list(tables.values()), axis=0)
    pooled_noise = math.sqrt(sum(table_deviations[site] ** 2 for site in tables))
    return Released(
        auroc=Interval(
            value=estimate.value, low=estimate.low, high=estimate.high, note=estimate.note
        ),
        accuracy=site_figures(pooled, pooled_noise).accuracy,
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

    The variance adds binomial sampling (with Wilson's centre, so that 0 and 1
    keep a width) and, by the delta method, the noise of the ratio.
    """
    count = successes + failures
    if count <= max(1e-9, 2 * deviation * math.sqrt(2)):
        note = TOO_FEW if deviation else "no patients"
        return Interval(value=None, low=None, high=None, note=note)
    value = min(1.0, max(0.0, successes / count))
    centre = (value * count + Z95**2 / 2) / (count + Z95**2)
    sampling = centre * (1 - centre) / (count + Z95**2)
    noise = deviation**2 * (value**2 + (1 - value) ** 2) / count**2
    half = Z95 * math.sqrt(sampling + noise)
    middle = centre if not deviation else value
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    note = TOO_FEW if half > WIDEST and deviation else ""
    return Interval(value=value, low=min(low, value), high=max(high, value), note=note)
