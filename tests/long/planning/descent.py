"""Private gradient descent for logistic regression, many settings and repeats at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from tests.long.planning.cohorts import Drawn, Floats


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``noise`` is the deviation of the noise on the averaged gradient, over the clip."""

    steps: int
    clip: float
    learning_rate: float
    noise: float


def descend(
    records: Floats,
    ill: Floats,
    each: Sequence[Settings],
    *,
    start: float,
    repeats: int,
    random: np.random.Generator,
) -> Floats:
    """Returns (inputs + 1, settings x repeats) weights, the last row being the bias.

    Args:
        records, ill: (patients, inputs) and (patients,).
        each: what is tried; every setting is repeated with noise of its own.
        start: the bias before the first step.
        repeats: how often.
        random: where the noise comes from.
    """
    inputs = np.column_stack([records, np.ones(len(records), np.float32)])
    lengths = np.linalg.norm(inputs, axis=1)[:, None]
    steps, clip, rate, noise = (
        np.repeat([getattr(one, name) for one in each], repeats).astype(np.float32)
        for name in ("steps", "clip", "learning_rate", "noise")
    )
    weights = np.zeros((inputs.shape[1], len(steps)), np.float32)
    weights[-1] = start
    for step in range(int(steps.max())):
        live = np.flatnonzero(steps > step)
        now, bound = weights[:, live], clip[live]
        with np.errstate(over="ignore"):
            left = 1 / (1 + np.exp(-(inputs @ now))) - ill[:, None]
        left *= np.minimum(1, bound / np.maximum(np.abs(left) * lengths, 1e-12))
        drawn = random.standard_normal(now.shape, np.float32)
        gradient = inputs.T @ left / len(inputs) + noise[live] * bound * drawn
        weights[:, live] = now - rate[live] * gradient
    return weights


def aurocs(weights: Floats, drawn: Drawn) -> np.ndarray:
    """Returns each column's AUROC on the test patients."""
    scores, ill = drawn.test @ weights[:-1], drawn.test_ill > 0
    count, others = ill.sum(), (~ill).sum()
    ranks = rankdata(scores, axis=0)[ill].sum(axis=0)
    return np.asarray((ranks - count * (count + 1) / 2) / (count * others))
