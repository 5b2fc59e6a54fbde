"""``python -m tests.long.planning.risks --data DIR``: how good the advised models' risks are.

What is released of each trained model is drawn as an evaluation would: counts in bins and
each hospital's table, both with the noise of the same epsilon. ``add`` is what
``compliance.estimates.binned_scores.risk_figures`` then says to add to the output; nothing where it
says nothing.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.planning.advice import advise
from compliance.privacy.accounting import calibrate
from pipelines.evaluation.metrics import histogram, two_by_two
from protocol.vectors.evaluation import noise_deviations
from protocol.vectors.score_grid import ScoreGrid
from tests.long.planning.__main__ import DELTA, _as_settings, question
from tests.long.planning.cohorts import PUBLISHED, SOURCES, Cohort, Drawn, Floats, cohorts, draw
from tests.long.planning.descent import descend
from tests.long.planning.grids import reference_grid
from tests.support.simulated.evaluations import released_metrics

#: Source, patients, share of the ill, hospitals: from few ill to many.
KINDS = (
    ("heart disease", 740, 0.5, 3), ("heart disease", 400, 0.2, 5),
    ("breast cancer", 569, 0.37, 8), ("breast cancer", 380, 0.1, 3),
    ("PneumoniaMNIST", 2000, 0.2, 8), ("PneumoniaMNIST", 1000, 0.1, 3),
    ("diabetes130", 5000, 0.11, 6), ("diabetes130", 4000, 0.2, 6), ("TCGA-BRCA", 1000, 0.1, 6),
)  # fmt: skip
EPSILONS, BINS, SITE_SHARE = (1.0, 3.0), 8, 0.2
_REPEATS = 6
_SHOWN = ("mean", "brier", "sensitivity")


@dataclass(frozen=True, kw_only=True)
class Risks:
    """Of one model: mean risk, Brier score over that of the share of the ill, sensitivity."""

    mean: float
    brier: float
    sensitivity: float

    @classmethod
    def of(cls, logits: Floats, ill: Floats) -> "Risks":
        risk = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        share = float(ill.mean())
        return cls(
            mean=float(risk.mean()),
            brier=float(((risk - ill) ** 2).mean()) / (share * (1 - share)),
            sensitivity=float((risk[ill > 0] > 0.5).mean()),
        )


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One model: its risks as they are, whether a warning says so, what to add, its risks then.

    ``by_weights`` are its risks with the bias that normal inputs of deviation 1 would need.
    """

    before: Risks
    warned: bool
    shift: float
    after: Risks
    by_weights: Risks


def bias_of_weights(weights: Floats, share: float) -> float:
    """Returns the bias that gives normal inputs of deviation 1 this mean risk."""
    points, parts = np.polynomial.hermite_e.hermegauss(41)
    logits = np.linalg.norm(weights) * points
    low, high = -40.0, 40.0
    for _ in range(50):
        middle = (low + high) / 2
        mean = parts @ (1 / (1 + np.exp(-(logits + middle)))) / parts.sum()
        low, high = (middle, high) if mean < share else (low, middle)
    return low


def tried(cohort: Cohort, data: Path, epsilon: float, drawings: int) -> Iterator[Tried]:
    """Yields the models of some drawings of a cohort, trained as advised with per-site noise."""
    records, ill = SOURCES[cohort.source](data)
    noise = calibrate(epsilon=epsilon, delta=DELTA, sampling_rate=1.0, steps=1)
    for seed in range(drawings):
        drawn, random = draw(cohort, records, ill, seed), np.random.default_rng(seed)
        asked = replace(question(cohort, drawn, epsilon), auroc=PUBLISHED[cohort.source])
        share = float(drawn.train_ill.mean())
        weights = descend(
            drawn.train, drawn.train_ill, [_as_settings(advise(asked, "per_site"))],
            start=math.log(share / (1 - share)), repeats=_REPEATS, random=random,
        )  # fmt: skip
        for each in weights.T:
            logits = drawn.test @ each[:-1] + each[-1]
            grid = reference_grid(each, drawn, random)
            found = _released(cohort, logits, drawn, grid, noise, share, random)
            shift = found.shift or 0.0
            yield Tried(
                before=Risks.of(logits, drawn.test_ill), warned=found.contradict, shift=shift,
                after=Risks.of(logits + shift, drawn.test_ill),
                by_weights=Risks.of(
                    logits - each[-1] + bias_of_weights(each[:-1], share), drawn.test_ill
                ),
            )  # fmt: skip


def _released(
    cohort: Cohort, logits: Floats, drawn: Drawn, grid: ScoreGrid, noise: float, share: float,
    random: np.random.Generator,
) -> RiskFigures:  # fmt: skip
    per_count, per_table = noise_deviations(noise, SITE_SHARE)
    pooled = per_count * math.sqrt(cohort.sites)
    counts = histogram(logits, drawn.test_ill, grid.edges(BINS)).astype(float)
    counts += random.normal(0, pooled, (2, BINS))
    parts = np.array_split(np.arange(len(logits)), cohort.sites)
    tables = {
        str(site): two_by_two(logits[part], drawn.test_ill[part])
        + random.normal(0, per_table, (2, 2))
        for site, part in enumerate(parts)
    }
    deviations = dict.fromkeys(tables, per_table)
    return released_metrics(counts, pooled, tables, deviations, grid=grid, declared=share).risks


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.planning.risks", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--drawings", type=int, default=4)
    asked = parser.parse_args()
    titles = "mean risk | Brier | sensitivity"
    print(
        f"| cohort | n | ill | ε | {titles} | warned | corrected | {titles} | by weights: Brier |"
    )
    print("| --- |" + " --: |" * 12)
    for cohort in cohorts(KINDS):
        for epsilon in EPSILONS:
            found = list(tried(cohort, asked.data, epsilon, asked.drawings))
            warned = np.mean([one.warned for one in found])
            corrected = np.mean([one.shift != 0 for one in found])
            before, after, by_weights = (
                [f"{np.mean([getattr(risks, name) for risks in each]):.2f}" for name in _SHOWN]
                for each in zip(*((o.before, o.after, o.by_weights) for o in found), strict=True)
            )
            cells = [
                cohort.source, f"{cohort.patients}", f"{cohort.prevalence:.0%}", f"{epsilon:g}",
                *before, f"{warned:.0%}", f"{corrected:.0%}", *after, by_weights[1],
            ]  # fmt: skip
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
