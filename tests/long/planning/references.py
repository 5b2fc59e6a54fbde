"""``python -m tests.long.planning.references --data DIR``: candidates for a sweep's reference.

The reference without privacy of an advised study could leave out the noise alone, the noise
and the clip, or take a rate of its own that is sure not to diverge: 8 / R^2 for logistic
regression, whose gradient changes by R^2 / 4 at most. Beside them stand the advised plan
at its epsilon, and 400 steps of unclipped descent: what could be learned.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np

from compliance.planning.advice import advise
from tests.long.planning.__main__ import _as_settings, question
from tests.long.planning.cohorts import PUBLISHED, SOURCES, Cohort, Floats, cohorts, draw
from tests.long.planning.descent import Settings, aurocs, descend
from tests.long.planning.risks import EPSILONS, KINDS

_REPEATS = 4


#: Drawn patients, and what a published model would reach on them.
DRAWN = Cohort(source="drawn, 19 inputs", patients=2200, prevalence=0.17, sites=5)
_DRAWN_AUROC = 0.8


def drawn_records(count: int = 8000, inputs: int = 19) -> tuple[Floats, Floats]:
    """Returns normal records of ill and healthy patients, apart as an AUROC of 0.8 says."""
    random = np.random.default_rng(0)
    apart = random.normal(size=inputs)
    apart *= math.sqrt(2) * NormalDist().inv_cdf(_DRAWN_AUROC) / np.linalg.norm(apart)
    ill = (random.random(count) < DRAWN.prevalence).astype(np.float32)
    records = random.normal(size=(count, inputs)) + ill[:, None] * apart
    return records.astype(np.float32), ill


def measured(cohort: Cohort, data: Path, epsilon: float, drawings: int) -> np.ndarray:
    """Returns the AUROCs of the five candidates: (drawings, candidates)."""
    records, ill = drawn_records() if cohort is DRAWN else SOURCES[cohort.source](data)
    found = []
    for seed in range(drawings):
        drawn = draw(cohort, records, ill, seed)
        asked = replace(
            question(cohort, drawn, epsilon), auroc=PUBLISHED.get(cohort.source, _DRAWN_AUROC)
        )
        plan, norm = _as_settings(advise(asked, "per_site")), asked.gradient_norm
        quiet = replace(plan, noise=0.0)
        bare = replace(quiet, clip=1e9)
        settings = [
            plan, quiet, bare, replace(bare, learning_rate=8 / norm**2),
            Settings(steps=400, clip=1e9, learning_rate=0.5, noise=0.0),
        ]  # fmt: skip
        share = float(drawn.train_ill.mean())
        weights = descend(
            drawn.train, drawn.train_ill, settings,
            start=math.log(share / (1 - share)), repeats=_REPEATS,
            random=np.random.default_rng(seed),
        )  # fmt: skip
        found.append(aurocs(weights, drawn).reshape(len(settings), _REPEATS).mean(axis=1))
    return np.array(found)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.planning.references", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--drawings", type=int, default=4)
    asked = parser.parse_args()
    titles = "no noise | worst | no clip | worst | own rate | worst"
    print(f"| cohort | n | ill | ε | advised | {titles} | 400 steps |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |")
    for cohort in (*cohorts(KINDS), DRAWN):
        for epsilon in EPSILONS:
            found = measured(cohort, asked.data, epsilon, asked.drawings)
            cells = [f"{found[:, 0].mean():.3f}"]
            for place in (1, 2, 3):
                cells += [f"{found[:, place].mean():.3f}", f"{found[:, place].min():.3f}"]
            cells.append(f"{found[:, 4].mean():.3f}")
            about = f"{cohort.source} | {cohort.patients} | {cohort.prevalence:.0%} | {epsilon:g}"
            print(f"| {about} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
