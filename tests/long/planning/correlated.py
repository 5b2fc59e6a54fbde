"""``python -m tests.long.planning.correlated --data DIR``: what correlated noise gains, in AUROC.

Hospitals train logistic regression by averaging, a pass over their patients in each round, at one
epsilon, in three ways: with correlated noise of the number of bands that ``study plan`` would
offer; with independent noise in the same steps; and with independent noise in fewer, larger steps
of as many passes, the best of all sizes. Rate and momentum of each are chosen from one grid, by
their mean AUROC on other drawings of the cohort; so is the size of the steps. Then all are trained
on the same drawings, and the gain is the mean of the differences with its 95 % interval (t).
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import t

from compliance.privacy.accounting import calibrate
from compliance.privacy.noise import noise_matrix
from tests.long.planning.cohorts import SOURCES, Cohort, Drawn, Floats, cohorts, draw
from tests.long.planning.descent import aurocs

DELTA = 1e-5
KINDS = (
    ("heart disease", 740, 0.5, 3), ("breast cancer", 569, 0.37, 3),
    ("PneumoniaMNIST", 3000, 0.3, 4), ("diabetes130", 4000, 0.2, 4), ("TCGA-BRCA", 1000, 0.1, 3),
)  # fmt: skip
#: Passes, steps of a pass, epsilon.
PLANS = ((4, 32, 8.0), (4, 32, 3.0), (4, 32, 1.0))
RATES, MOMENTA, CLIP = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0), (0.0, 0.9), 0.3
_TUNED_ON, _TRAINED_ON = range(100, 106), range(200, 240)


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to train a consortium; ``rate`` is the part of the patients that a step draws."""

    rounds: int
    steps: int
    bands: int
    multiplier: float
    learning_rate: float = 0.0
    momentum: float = 0.0

    @property
    def rate(self) -> float:
        return 1 / self.steps


def way(passes: int, steps: int, bands: int, epsilon: float) -> Way:
    """Returns a way whose noise keeps an epsilon."""
    multiplier = calibrate(
        epsilon=epsilon, delta=DELTA, sampling_rate=bands / steps, steps=passes * steps // bands
    )
    return Way(rounds=passes, steps=steps, bands=bands, multiplier=multiplier)


def _sizes(steps: int) -> Iterator[int]:
    """Yields the powers of two up to a number of steps."""
    yield from (2**power for power in range(int(math.log2(steps)) + 1))


def offered(passes: int, steps: int, epsilon: float) -> Way:
    """Returns the way with the bands that leave the least noise in the model."""
    ways = [way(passes, steps, bands, epsilon) for bands in _sizes(steps)]
    return min(ways[1:], key=_left)


def _left(one: Way) -> float:
    _, left = noise_matrix(rounds=one.rounds, steps=one.steps, bands=one.bands, momentum=0.0)
    return left * one.multiplier


def trained(each: Sequence[Way], drawn: Drawn, sites: int, random: np.random.Generator) -> Floats:
    """Returns (inputs + 1, ways) weights; all ways have the same rounds, steps, bands and noise."""
    one = each[0]
    inputs = np.column_stack([drawn.train, np.ones(len(drawn.train), np.float32)])
    clip = np.float32(CLIP * math.sqrt(inputs.shape[1]))
    lengths = np.maximum(np.linalg.norm(inputs, axis=1), 1e-12)[:, None]
    rates, momenta = (
        np.array([getattr(way, name) for way in each], np.float32)
        for name in ("learning_rate", "momentum")
    )
    undone = {
        beta: np.linalg.inv(
            noise_matrix(rounds=one.rounds, steps=one.steps, bands=one.bands, momentum=beta)[0]
        )
        for beta in {way.momentum for way in each}
    }
    ways = np.stack([undone[way.momentum] for way in each], axis=-1)  # (bands, bands, ways)
    hospitals = np.array_split(np.arange(len(inputs)), sites)
    weights = np.zeros((inputs.shape[1], len(each)), np.float32)
    for _ in range(one.rounds):
        moved = np.zeros_like(weights)
        for own in hospitals:
            records, ill, longest = inputs[own], drawn.train_ill[own][:, None], lengths[own]
            now, velocity = weights.copy(), np.zeros_like(weights)
            for step in range(one.steps):
                place = step % one.bands
                if place == 0:
                    parts = random.integers(0, one.bands, len(own))
                    noise = random.standard_normal((one.bands, *now.shape), np.float32)
                    noise = np.einsum("tsw,siw->tiw", ways, noise).astype(np.float32)
                chosen = (parts == place) & (random.random(len(own)) < one.rate * one.bands)
                part = records[chosen]
                left = 1 / (1 + np.exp(-np.clip(part @ now, -60, 60))) - ill[chosen]
                left *= np.minimum(1, clip / np.maximum(np.abs(left) * longest[chosen], 1e-12))
                summed = part.T @ left + one.multiplier * clip * noise[place]
                velocity = momenta * velocity + summed / (one.rate * len(own))
                now = now - rates * velocity
            moved += (now - weights) * (len(own) / len(inputs))
        weights = weights + moved
    return weights


def tuned(one: Way, cohort: Cohort, records: Floats, ill: Floats) -> tuple[Way, float]:
    """Returns the way with the best rate and momentum of the grid, and its AUROC there."""
    grid = [
        replace(one, learning_rate=rate, momentum=momentum)
        for rate, momentum in product(RATES, MOMENTA)
    ]
    reached = np.mean(
        [
            aurocs(trained(grid, drawn, cohort.sites, np.random.default_rng(seed)), drawn)
            for seed in _TUNED_ON
            for drawn in [draw(cohort, records, ill, seed)]
        ],
        axis=0,
    )
    return grid[int(np.argmax(reached))], float(reached.max())


def reached(one: Way, cohort: Cohort, records: Floats, ill: Floats) -> Floats:
    """Returns the AUROC on each drawing; the drawings are the same for all ways."""
    found = []
    for seed in _TRAINED_ON:
        drawn = draw(cohort, records, ill, seed)
        weights = trained([one], drawn, cohort.sites, np.random.default_rng(seed))
        found.append(float(aurocs(weights, drawn)[0]))
    return np.array(found)


def told(gain: Floats) -> str:
    """Returns the mean of differences with its 95 % interval."""
    half = t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / math.sqrt(len(gain))
    return f"{gain.mean():+.4f} ({gain.mean() - half:+.4f} to {gain.mean() + half:+.4f})"


def rows(data: Path) -> Iterator[str]:
    """Yields a line of the table for each cohort and plan."""
    for cohort in cohorts(KINDS):
        records, ill = SOURCES[cohort.source](data)
        for passes, steps, epsilon in PLANS:
            found = offered(passes, steps, epsilon)
            same = way(passes, steps, 1, epsilon)
            larger = [way(passes, count, 1, epsilon) for count in _sizes(steps)]
            tried = [tuned(one, cohort, records, ill) for one in larger]
            best, _ = max(tried, key=lambda one: one[1])
            each = [
                tuned(found, cohort, records, ill)[0], tuned(same, cohort, records, ill)[0], best,
            ]  # fmt: skip
            own, alike, fewer = (reached(one, cohort, records, ill) for one in each)
            yield (
                f"| {cohort.source} | {cohort.patients} | {epsilon:g} | {found.bands} "
                f"| {_left(found) / _left(same):.2f} | {own.mean():.3f} | {alike.mean():.3f} "
                f"| {told(own - alike)} | {fewer.mean():.3f} ({best.steps}) | {told(own - fewer)} |"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    for line in rows(parser.parse_args().data):
        print(line, flush=True)
