"""Writes outside_figures.json: drawn patients, and what fairlearn and lifelines find for them.

Needs these two libraries, which nothing else here does:
    pip install fairlearn lifelines
    python tests/unit/coordinator/rounds/evaluation/outside/make_outside_figures.py
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

TIMES = (1.0, 2.0, 4.0)


def fairness(seed: int) -> dict[str, Any]:
    """Returns patients of two sexes and three bands of age, and rates and gaps at a score of 0."""
    from fairlearn import metrics

    random = np.random.default_rng(seed)
    count = int(random.integers(150, 400))
    sexes, ages = random.choice(2, count, p=[0.3, 0.7]), random.choice(3, count, p=[0.4, 0.4, 0.2])
    labels = (random.random(count) < 0.4).astype(int)
    scores = (random.normal(size=count) + 1.2 * (labels - 0.5) + 0.3 * sexes).round(3)
    called = (scores > 0).astype(int)
    rates = {
        "sensitivity": metrics.true_positive_rate,
        "specificity": metrics.true_negative_rate,
        "flagged": metrics.selection_rate,
    }
    found: dict[str, Any] = {}
    for grouping, places in (("sex", sexes), ("age", ages)):
        given: dict[str, Any] = {
            "y_true": labels, "y_pred": called, "sensitive_features": places,
        }  # fmt: skip
        by_group = metrics.MetricFrame(metrics=rates, **given).by_group
        found[grouping] = {
            "groups": {name: by_group[name].tolist() for name in rates},
            "equal_opportunity": float(metrics.equal_opportunity_difference(**given)),
            "equalized_odds": float(metrics.equalized_odds_difference(**given)),
            "demographic_parity": float(metrics.demographic_parity_difference(**given)),
        }
    groups = np.stack([ages, sexes], axis=1).tolist()
    return {
        "scores": scores.tolist(), "labels": labels.tolist(), "groups": groups, "fairlearn": found,
    }  # fmt: skip


def survival(seed: int) -> dict[str, Any]:
    """Returns scores and signed times, below 0 censored, and Kaplan-Meier's shares at ``TIMES``."""
    from lifelines import KaplanMeierFitter

    random = np.random.default_rng(seed)
    count = int(random.integers(150, 400))
    scores = random.normal(size=count).round(3)
    times = random.exponential(4 * np.exp(-0.8 * scores)).round(3) + 0.001
    last = random.uniform(0.5, 8, count).round(3)
    events = times < last
    lasted = np.where(events, times, last)
    found = KaplanMeierFitter().fit(lasted, events).survival_function_at_times(TIMES)
    return {
        "scores": scores.tolist(),
        "labels": np.where(events, lasted, -lasted).tolist(),
        "lifelines": found.tolist(),
    }


if __name__ == "__main__":
    made = {name: version(name) for name in ("fairlearn", "lifelines")}
    document = {
        "made": made,
        "fairness": [fairness(seed) for seed in range(4)],
        "survival": [survival(seed) for seed in range(4)],
    }
    Path(__file__).with_name("outside_figures.json").write_text(json.dumps(document) + "\n")
