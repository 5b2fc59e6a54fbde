"""The table of figures of classes, findings, times and masks: how wide, and how often they hold.

Four hospitals as in ``tables``. Populations: three classes of 50, 35 and 15 % of the patients, of
each of which 80 % are found; three findings with 30 to 50 % ill; times of exponential hazards in
three intervals, with scores in eight bins; masks of two classes. Bins of findings are chosen as
``bins: auto`` does. Patients and noise are drawn; a truth is the figure of 400,000 patients.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from compliance.estimates.interval import Z95, Interval
from compliance.estimates.outcomes.class_figures import figures_of_classes, macro_f1
from protocol.vectors.number_of_bins import number_of_bins
from tests.long.evaluation.censoring import EIGHT, shares_of, truth_at
from tests.long.evaluation.tables import deviations
from tests.support.simulated.tasks import SURVIVAL
from tests.unit.coordinator.rounds.evaluation import test_segmentation_outcomes as masks
from tests.unit.coordinator.rounds.evaluation import test_survival_figures as survival
from tests.unit.coordinator.rounds.evaluation import test_task_figures as tasks

Floats = NDArray[np.float64]
#: Of a population: a draw of figures from so many patients, with a multiple of an influence of
#: one as the noise of the pooled counts, and of the hospitals' own.
Draw = Callable[[np.random.Generator, int, float, float], dict[str, Interval]]
_MANY = 400_000
_SHARES = np.array([0.5, 0.35, 0.15])[:, None] * np.where(np.eye(3) > 0, 0.8, 0.1)


def _classes(
    random: np.random.Generator, number: int, noise: float, own: float
) -> dict[str, Interval]:
    table = random.multinomial(number, _SHARES.ravel()).reshape(3, 3)
    cells = table + random.normal(0, noise, (3, 3))
    rarest = figures_of_classes(cells, noise)[2]
    return {
        "macro F1, 3 classes": macro_f1(cells, noise),
        "F1 of a class of 15 %": rarest["f1"],
        "PPV of a class of 15 %": rarest["ppv"],
    }


def _findings(
    random: np.random.Generator, number: int, noise: float, own: float
) -> dict[str, Interval]:
    kind, pooled = "multilabel_classification", noise * math.sqrt(3)
    bins = number_of_bins(number, 0.5, pooled)
    found = tasks.released(kind, *tasks.drawn(kind, random, number), pooled, random, bins)
    return {"AUROC of a finding of 30 %": found.outcomes[1].figures["auroc"]}


def _times(
    random: np.random.Generator, number: int, noise: float, own: float
) -> dict[str, Interval]:
    found = survival.released(*survival.drawn(random, number), noise, random, own)
    figures = {one.outcome: one.figures["event_free"] for one in found.outcomes}
    return {
        "share without the event at 2": figures["at 2"],
        "the same, high scores": figures["at 2, high scores"],
        "share without the event at 4": figures["at 4"],
        "the same, eight times": shares_of(random, number, noise * math.sqrt(8), EIGHT)[-1],
    }


def _masks(
    random: np.random.Generator, number: int, noise: float, own: float
) -> dict[str, Interval]:
    pooled = noise * math.sqrt(5.5 * 2)
    found = masks.released(masks.drawn(random, number), pooled, random).outcomes[0].figures
    return {
        "Dice of a class (`distances`)": found["dice"],
        "patients with Dice below 0.7": found["dice_below_0.7"],
        "Hausdorff distance, of a diagonal of 9.9": found["hausdorff"],
    }


def _truths() -> dict[str, float]:
    random, exact = np.random.default_rng(1), figures_of_classes(_SHARES, 0.0)[2]
    scores, ill = tasks.drawn("multilabel_classification", random, _MANY)
    risks = random.normal(size=_MANY)
    free = random.exponential(4 * np.exp(-0.8 * risks)) >= SURVIVAL.times[1]
    lesion = masks.truths(masks.drawn(random, _MANY))[0]
    known = {
        "macro F1, 3 classes": macro_f1(_SHARES, 0.0).value,
        "F1 of a class of 15 %": exact["f1"].value,
        "PPV of a class of 15 %": exact["ppv"].value,
        "AUROC of a finding of 30 %": float(roc_auc_score(ill[:, 1], scores[:, 1])),
        "share without the event at 2": float(free.mean()),
        "the same, high scores": float(free[survival_part(risks) == 2].mean()),
        "share without the event at 4": float(truth_at((4.0,))[0]),
        "the same, eight times": float(truth_at((4.0,))[0]),
        "Dice of a class (`distances`)": lesion["dice"],
        "patients with Dice below 0.7": lesion["dice_below_0.7"],
        "Hausdorff distance, of a diagonal of 9.9": lesion["hausdorff"],
    }
    return {name: value for name, value in known.items() if value is not None}


def survival_part(scores: Floats) -> NDArray[np.int64]:
    """Returns the number of each score's part of the grid: low, middle or high."""
    edges = survival.ScoreGrid.around(survival.REFERENCE[:, 0]).edges(survival.BINS)
    return np.minimum(np.searchsorted(edges, scores, side="right") // 3, 2)


def outcome_lines(draws: int = 500) -> Iterator[str]:
    """Yields a line of the table for each figure, number of patients and epsilon."""
    truths = _truths()
    for draw in (_classes, _findings, _times, _masks):
        for number in (300, 1000, 5000):
            for epsilon in (1.0, 3.0, None):
                random, noises = np.random.default_rng(2), deviations(epsilon)
                found = [draw(random, number, *noises) for _ in range(draws)]
                for name in found[0]:
                    cells = _cells([one[name] for one in found], truths[name])
                    yield f"| {name} | {number:,} | {epsilon or 'none'} | {cells} |"


def _cells(found: list[Interval], truth: float) -> str:
    shown = [
        (one.value, one.low, one.high)
        for one in found
        if one.value is not None and one.low is not None and one.high is not None
    ]
    if len(shown) < 0.02 * len(found):
        return "withheld | | |"
    values, lows, highs = np.array(shown).T
    half, held = (
        float((highs - lows).mean()) / 2,
        float(((lows <= truth) & (truth <= highs)).mean()),
    )
    oracle = Z95 * float(values.std())
    return f"{len(shown) / len(found):.2f} | {held:.3f} | {half:.3f} | {half / oracle:.2f}"
