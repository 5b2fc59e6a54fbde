"""Figures of several models on the same patients, and what one leads another by.

Both have 95 % intervals, for other patients like these. A lead is paired: both models of a pair
are judged by the same patients in every sample, so what makes a patient hard for both cancels.
Intervals know nothing of the training: another seed, or other noise, gives other models.

AUROC and accuracy have Newcombe's and Wilson's intervals, and a lead in AUROC is DeLong's; every
other figure, and lead, is drawn again with its patients (``exact_intervals.bootstrapped``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from compliance.facts.figures import (
    AUROC,
    BALANCED_ACCURACY,
    C_INDEX,
    MEAN_AUROC,
    FigureKind,
)
from pipelines.evaluation.exact_intervals import (
    ExactFigure,
    auroc_difference,
    auroc_interval,
    bootstrapped,
    share_interval,
)
from pipelines.evaluation.metrics import auroc

Floats: TypeAlias = NDArray[np.float64]
#: A model, and the one that it is held against.
Pair: TypeAlias = tuple[str, str]

#: The patients, and those of them with each class or an event, without whom what is drawn again has
#: no interval: see ``FEWEST_OF_A_CLASS``.
FEWEST_DRAWN, FEWEST_OF_A_KIND = 20, 10


@dataclass(frozen=True, kw_only=True)
class ComparedModels:
    """Every model's figures by name, and the lead of the first of each pair over the second.

    Above zero the first is the better one, of an error too. What has no bounds is of too few
    patients for an interval.
    """

    figures: Mapping[str, Mapping[str, ExactFigure]]
    leads: Mapping[Pair, ExactFigure]


def compared_models(
    scores: Mapping[str, Floats],
    labels: Floats,
    *,
    exact: Callable[[Floats, Floats], Mapping[str, float | None]],
    headline: FigureKind,
    pairs: Sequence[Pair],
    seed: int,
) -> ComparedModels:
    """Returns what models reach on the same patients, and the leads in the headline figure.

    Args:
        scores: (patients, ...) by model.
        labels: (patients, ...).
        exact: of scores and labels, the task's exact figures.
        headline: the figure of the leads.
        pairs: the leads that are asked for.
        seed: of the drawing. Guarantee: equal arguments give equal figures.
    """
    if headline == AUROC:
        return ComparedModels(
            figures={model: _of_two_classes(own, labels) for model, own in scores.items()},
            leads={
                (first, second): auroc_difference(scores[first], scores[second], labels)
                for first, second in pairs
            },
        )

    def drawn(places: NDArray[np.int64]) -> dict[Pair, float | None]:
        own = {model: exact(each[places], labels[places]) for model, each in scores.items()}
        leads = {pair: _lead(headline, *(own[model] for model in pair)) for pair in pairs}
        return leads | {
            (model, name): value for model, each in own.items() for name, value in each.items()
        }

    count = len(labels)
    found = bootstrapped(drawn, count, seed)
    if not _can_be_drawn_again(headline, scores, labels):
        found = {name: replace(figure, low=None, high=None) for name, figure in found.items()}
    leads = {pair: found.pop(pair) for pair in pairs}
    figures: dict[str, dict[str, ExactFigure]] = {model: {} for model in scores}
    for (model, name), figure in found.items():
        figures[model][name] = figure
    return ComparedModels(figures=figures, leads=leads)


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


def _can_be_drawn_again(headline: FigureKind, scores: Mapping[str, Floats], labels: Floats) -> bool:
    """Whether samples of these patients say how much a figure moves with others like them."""
    if len(labels) < FEWEST_DRAWN:
        return False
    kinds = [len(labels)]
    if headline == C_INDEX:
        kinds = [int((labels > 0).sum())]
    elif headline == MEAN_AUROC:
        kinds = [int(each) for own in labels.T for each in ((own > 0).sum(), (own <= 0).sum())]
    elif headline == BALANCED_ACCURACY:
        classes = {own.shape[1] for own in scores.values()}
        kinds = [int((labels == place).sum()) for place in range(max(classes, default=0))]
    return min(kinds, default=0) >= FEWEST_OF_A_KIND


def _lead(
    headline: FigureKind, first: Mapping[str, float | None], second: Mapping[str, float | None]
) -> float | None:
    ours, theirs = first[headline.name], second[headline.name]
    return None if ours is None or theirs is None else headline.lead(ours, theirs)


def _of_two_classes(logits: Floats, labels: Floats) -> dict[str, ExactFigure]:
    positives = int((labels > 0).sum())
    right = int(((logits > 0) == (labels > 0)).sum())
    return {
        "auroc": auroc_interval(auroc(logits, labels), positives, len(labels) - positives),
        "accuracy": share_interval(right, len(labels)),
    }
