"""Figures of several ways to train, on the same patients, and what one leads another by.

Both have 95 % intervals, for other patients like these. A lead is paired: both of a pair are
judged by the same patients in every sample, so what makes a patient hard for both cancels.
A way to train that draws noise, or who is in a batch, gives another model each time: its figure is
the mean over several trainings, and the interval holds what another draw would change, too.

AUROC and accuracy have Newcombe's and Wilson's intervals, and a lead in AUROC is DeLong's; every
other figure, and lead, is drawn again with its patients (``exact_intervals.bootstrapped``). What
trainings vary by is added in squares, as a t-interval of their mean.

Source: Zou and Donner 2008, Statistics in Medicine 27 (squares of half-widths, side by side).
"""

import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # type: ignore[import-untyped]  # ships no types

from compliance.facts.figures import (
    AUROC,
    BALANCED_ACCURACY,
    C_INDEX,
    MEAN_AUROC,
    FigureKind,
    figure_kind,
)
from pipelines.evaluation.exact_intervals import (
    NOT_AVAILABLE,
    ExactFigure,
    auroc_difference,
    auroc_interval,
    bootstrapped,
    share_interval,
)

Floats: TypeAlias = NDArray[np.float64]
#: A model, and the one that it is held against.
Pair: TypeAlias = tuple[str, str]

#: The patients, and those of them with each class or an event, without whom what is drawn again has
#: no interval: see ``FEWEST_OF_A_CLASS``.
FEWEST_DRAWN, FEWEST_OF_A_KIND = 20, 10


#: The trainings without which nothing is known of what the next one would give.
FEWEST_TRAININGS = 3

Exact: TypeAlias = Callable[[Floats, Floats], Mapping[str, float | None]]
#: Figures by model and name, and leads.
Judged: TypeAlias = tuple[dict[str, dict[str, ExactFigure]], dict[Pair, ExactFigure]]


@dataclass(frozen=True, kw_only=True)
class ComparedModels:
    """Every model's figures by name, and the lead of the first of each pair over the second.

    Above zero the first is the better one, of an error too. What has no bounds is of too few
    patients for an interval.
    """

    figures: Mapping[str, Mapping[str, ExactFigure]]
    leads: Mapping[Pair, ExactFigure]


def compared_models(
    scores: Mapping[str, Sequence[Floats]],
    labels: Floats,
    *,
    exact: Exact,
    headline: FigureKind,
    pairs: Sequence[Pair],
    seed: int,
    random: Collection[str] = (),
) -> ComparedModels:
    """Returns what models reach on the same patients, and the leads in the headline figure.

    Args:
        scores: by name, (patients, ...) of each training.
        labels: (patients, ...).
        exact: of scores and labels, the task's exact figures.
        headline: the figure of the leads.
        pairs: the leads that are asked for.
        seed: of the drawing. Guarantee: equal arguments give equal figures.
        random: the names of those whose trainings differ. A lead of one with fewer than
            ``FEWEST_TRAININGS`` has no interval: nobody knows what the next would give.
    """
    reached = {name: [exact(each, labels) for each in own] for name, own in scores.items()}
    judge = _of_two_classes if headline == AUROC else _drawn_again
    figures, leads = judge(scores, labels, exact, reached, headline, pairs, seed)

    def trainings(name: str, figure: str) -> tuple[float, int]:
        return _variance([one[figure] for one in reached[name]])

    known = {name for name, own in reached.items() if len(own) >= FEWEST_TRAININGS}
    return ComparedModels(
        figures={
            name: {
                kind: _widened(found, [trainings(name, kind)], figure_kind(kind))
                if name in known
                else found
                for kind, found in own.items()
            }
            for name, own in figures.items()
        },
        leads={
            pair: _widened(lead, [trainings(name, headline.name) for name in pair])
            if set(pair) & set(random) <= known
            else replace(lead, low=None, high=None)
            for pair, lead in leads.items()
        },
    )


def _variance(values: Sequence[float | None]) -> tuple[float, int]:
    """Returns the variance of the mean of several trainings, and how many there are."""
    known = [value for value in values if value is not None]
    if len(known) < max(2, len(values)):
        return 0.0, len(values)
    return statistics.variance(known) / len(known), len(known)


def _widened(
    found: ExactFigure, trainings: Sequence[tuple[float, int]], kind: FigureKind | None = None
) -> ExactFigure:
    """Returns a figure whose interval also holds what another draw of the trainings changes."""
    varied = [(variance, count) for variance, count in trainings if count > 1]
    if not varied or found.value is None or found.low is None or found.high is None:
        return found
    quantile = float(stdtrit(min(count for _, count in varied) - 1, 0.975))
    half = quantile * math.sqrt(sum(variance for variance, _ in varied))
    low = found.value - math.hypot(found.value - found.low, half)
    high = found.value + math.hypot(found.high - found.value, half)
    if kind is not None and kind.low is not None:
        low = max(low, kind.low)
    if kind is not None and kind.high is not None:
        high = min(high, kind.high)
    return ExactFigure(value=found.value, low=low, high=high)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _of_two_classes(
    scores: Mapping[str, Sequence[Floats]],
    labels: Floats,
    _exact: Exact,
    reached: Mapping[str, Sequence[Mapping[str, float | None]]],
    _headline: FigureKind,
    pairs: Sequence[Pair],
    _seed: int,
) -> Judged:
    count, positives = len(labels), int((labels > 0).sum())
    figures = {}
    for name, own in reached.items():
        area, share = (_mean([one[kind] for one in own]) for kind in ("auroc", "accuracy"))
        figures[name] = {
            "auroc": auroc_interval(area, positives, count - positives),
            "accuracy": NOT_AVAILABLE if share is None else share_interval(share * count, count),
        }
    leads = {
        (first, second): auroc_difference(np.stack(scores[first]), np.stack(scores[second]), labels)
        for first, second in pairs
    }
    return figures, leads


def _drawn_again(
    scores: Mapping[str, Sequence[Floats]],
    labels: Floats,
    exact: Exact,
    reached: Mapping[str, Sequence[Mapping[str, float | None]]],
    headline: FigureKind,
    pairs: Sequence[Pair],
    seed: int,
) -> Judged:
    names = {name: list(own[0]) for name, own in reached.items()}

    def drawn(places: NDArray[np.int64]) -> dict[Pair, float | None]:
        own: dict[str, dict[str, float | None]] = {}
        for name, trainings in scores.items():
            found = [exact(each[places], labels[places]) for each in trainings]
            own[name] = {kind: _mean([one[kind] for one in found]) for kind in names[name]}
        leads = {pair: _lead(headline, *(own[name] for name in pair)) for pair in pairs}
        return leads | {
            (name, kind): value for name, each in own.items() for kind, value in each.items()
        }

    found = bootstrapped(drawn, len(labels), seed)
    if not _can_be_drawn_again(headline, scores, labels):
        found = {name: replace(figure, low=None, high=None) for name, figure in found.items()}
    leads = {pair: found.pop(pair) for pair in pairs}
    figures: dict[str, dict[str, ExactFigure]] = {name: {} for name in scores}
    for (name, kind), figure in found.items():
        figures[name][kind] = figure
    return figures, leads


def why_not_available(kind: str, scores: Floats, labels: Floats) -> str:
    """Returns why a task's headline figure is not available of these patients.

    Args:
        kind: of the task, as it stands in a study.
        scores: (patients, ...).
        labels: (patients, ...).
    """
    if not len(labels):
        return "no test patient"
    if np.isnan(scores).any():
        return "the model's scores are not numbers: its training diverged"
    return _WHY.get(kind, "these patients do not support it")


#: The patients that a headline figure cannot be without, by the kind of the task.
_WHY: Mapping[str, str] = {
    "binary_classification": "test patients of one class only",
    "multiclass_classification": "a class without a test patient",
    "multilabel_classification": "a label that all test patients have, or none",
    "survival": "no two test patients of whom it is known who had the event first",
    "segmentation": "a class that no test patient has",
}


def _can_be_drawn_again(
    headline: FigureKind, scores: Mapping[str, Sequence[Floats]], labels: Floats
) -> bool:
    """Whether samples of these patients say how much a figure moves with others like them."""
    if len(labels) < FEWEST_DRAWN:
        return False
    kinds = [len(labels)]
    if headline == C_INDEX:
        kinds = [int((labels > 0).sum())]
    elif headline == MEAN_AUROC:
        kinds = [int(each) for own in labels.T for each in ((own > 0).sum(), (own <= 0).sum())]
    elif headline == BALANCED_ACCURACY:
        classes = {own[0].shape[1] for own in scores.values()}
        kinds = [int((labels == place).sum()) for place in range(max(classes, default=0))]
    return min(kinds, default=0) >= FEWEST_OF_A_KIND


def _lead(
    headline: FigureKind, first: Mapping[str, float | None], second: Mapping[str, float | None]
) -> float | None:
    ours, theirs = first[headline.name], second[headline.name]
    return None if ours is None or theirs is None else headline.lead(ours, theirs)
