"""``python -m tests.long.planning.grids --data DIR``: what bins hide, by where they lie.

For each cohort, trained as advised at epsilon 1 with per-site noise: the exact AUROC of the
test patients, and that of their binned scores with the share of pairs in one bin, with
bins around the model's scores of reference inputs and with bins between -4 and 4.
"""

import argparse
import math
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from compliance.estimates.binned_scores.auroc import auroc_from_histogram
from compliance.planning.advice import advise
from pipelines.evaluation.metrics import histogram
from protocol.vectors.score_grid import ScoreGrid
from tests.long.planning.__main__ import _as_settings, question
from tests.long.planning.cohorts import (
    CHOSEN_ON,
    HELD_OUT,
    PUBLISHED,
    SOURCES,
    Cohort,
    Drawn,
    Floats,
    cohorts,
    draw,
)
from tests.long.planning.descent import aurocs, descend

BINS = (4, 8, 16)


def reference_grid(weights: Floats, drawn: Drawn, random: np.random.Generator) -> ScoreGrid:
    """Returns the grid around the scores of inputs as a study would declare these."""
    inputs = random.standard_normal((256, drawn.train.shape[1]))
    words = ((drawn.train == 0) | (drawn.train == 1)).all(axis=0)
    inputs[:, words] = random.random((256, int(words.sum()))) < 0.25
    return ScoreGrid.around(inputs @ weights[:-1] + weights[-1])


def line(cohort: Cohort, data: Path) -> str:
    """Returns the cohort's row of the table."""
    records, ill = SOURCES[cohort.source](data)
    seed = zlib.crc32(repr(cohort).encode())
    drawn, random = draw(cohort, records, ill, seed), np.random.default_rng(seed)
    asked = replace(question(cohort, drawn, 1.0), auroc=PUBLISHED[cohort.source])
    weights = descend(
        drawn.train, drawn.train_ill, [_as_settings(advise(asked, "per_site"))],
        start=math.log(cohort.prevalence / (1 - cohort.prevalence)), repeats=1, random=random,
    )  # fmt: skip
    scores, each = drawn.test @ weights[:-1, 0] + weights[-1, 0], weights[:, 0]
    grid = reference_grid(each, drawn, random)
    cells = [
        cohort.source, f"{cohort.patients}", f"{cohort.prevalence:.0%}",
        f"{grid.centre:.1f}", f"{grid.spread:.1f}", f"{scores.mean():.1f}", f"{scores.std():.1f}",
        f"{aurocs(weights, drawn)[0]:.3f}",
    ]  # fmt: skip
    for bins in BINS:
        for edges in (grid.edges(bins), np.linspace(-4, 4, bins + 1)[1:-1]):
            counts = histogram(scores, drawn.test_ill, edges).astype(np.float64)
            shares = counts / counts.sum(axis=1, keepdims=True)
            binned, tied = auroc_from_histogram(counts, 0.0).value, shares.prod(axis=0).sum()
            cells.append(f"{binned:.3f}, {tied:.2f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.planning.grids", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    data = parser.parse_args().data
    titles = " | ".join(f"{bins} bins | {bins} in ±4" for bins in BINS)
    print(f"| cohort | n | ill | centre | spread | scores | deviation | exact | {titles} |")
    print("| --- |" + " --: |" * (7 + 2 * len(BINS)))
    for cohort in cohorts(CHOSEN_ON + HELD_OUT):
        print(line(cohort, data), flush=True)


if __name__ == "__main__":
    main()
