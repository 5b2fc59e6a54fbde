"""Scores: what a network's outputs say of a record, by the kind of task.

A score is rounded to six decimals: what the order of additions within a batch changes lies below.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.study.cohort.labels import FindingsLabel, Label, NumberLabel
from protocol.study.task.task import (
    BinaryClassification,
    MulticlassClassification,
    MultilabelClassification,
    Regression,
    Segmentation,
    Survival,
    Task,
)

Floats: TypeAlias = NDArray[np.float64]
#: One record's scores, by the name of their column.
Score: TypeAlias = Mapping[str, float | int | str]
_DECIMALS = 6


def score_names(task: Task, label: Label) -> tuple[str, ...]:
    """Returns the names of a record's scores, in the order in which they are written."""
    return tuple(scores_of(task, label, np.zeros((1, task.outputs(label), 1, 1)))[0])


def scores_of(task: Task, label: Label, outputs: Floats) -> list[Score]:
    """Returns the scores of some records.

    Args:
        task: the study's.
        label: of its cohort.
        outputs: (records, outputs), of a segmentation (records, classes, ...).

    >>> from protocol.study.cohort.labels import BinaryLabel
    >>> from protocol.study.task.networks.classifiers import FullyConnectedNet
    >>> task = BinaryClassification(network=FullyConnectedNet())
    >>> scores_of(task, BinaryLabel(positive=("1",), negative=("0",)), np.array([[0.0]]))
    [{'risk': 0.5, 'positive': 0}]
    """
    if isinstance(task, Segmentation):
        return _voxels(outputs, _classes(label))
    flat = outputs.reshape(len(outputs), -1)
    if isinstance(task, BinaryClassification):
        risks = _sigmoid(flat[:, 0])
        return [{"risk": _round(r), "positive": int(r > task.threshold)} for r in risks.tolist()]
    if isinstance(task, MulticlassClassification):
        return _of_classes(_softmax(flat), _classes(label))
    if isinstance(task, MultilabelClassification):
        findings = tuple(label.findings) if isinstance(label, FindingsLabel) else ()
        return [
            {f"probability {name}": _round(one) for name, one in zip(findings, row, strict=True)}
            for row in _sigmoid(flat).tolist()
        ]
    if isinstance(task, Regression) and isinstance(label, NumberLabel):
        values = flat[:, 0] * label.scale + label.centre
        return [{"value": _round(value)} for value in values.tolist()]
    if isinstance(task, Survival):
        return _survival(task, flat[:, 0])
    raise TypeError(f"a task of kind {task.kind} scores nobody")


def margins_of(task: Task, outputs: Floats) -> Floats:
    """Returns (records,) how far each record is from where the decision changes; NaN without one.

    Of two classes in risk, of several between the two most probable ones, of findings the least.
    """
    if isinstance(task, BinaryClassification):
        return np.abs(_sigmoid(outputs.reshape(len(outputs), -1)[:, 0]) - task.threshold)
    if isinstance(task, MulticlassClassification):
        ordered = np.sort(_softmax(outputs.reshape(len(outputs), -1)), axis=1)
        return np.asarray(ordered[:, -1] - ordered[:, -2], dtype=np.float64)
    if isinstance(task, MultilabelClassification):
        risks = _sigmoid(outputs.reshape(len(outputs), -1))
        return np.asarray(np.abs(risks - 0.5).min(axis=1), dtype=np.float64)
    return np.full(len(outputs), np.nan)


def _of_classes(shares: Floats, names: Sequence[str]) -> list[Score]:
    found: list[Score] = []
    for row in shares.tolist():
        said = {f"probability {name}": _round(one) for name, one in zip(names, row, strict=True)}
        found.append({"class": names[int(np.argmax(row))], **said})
    return found


def _survival(task: Survival, risks: Floats) -> list[Score]:
    """Returns log risks; by the loss of hazards also the share without the event at each time."""
    if task.loss != "hazard":
        return [{"log risk": _round(risk)} for risk in risks.tolist()]
    logits = np.log(np.array(task.hazards) / (1 - np.array(task.hazards)))
    left = np.cumprod(1 - _sigmoid(risks[:, None] + logits), axis=1)
    names = [f"event-free at {time:g}" for time in task.times]
    return [
        {"log risk": _round(risk)}
        | {name: _round(share) for name, share in zip(names, row, strict=True)}
        for risk, row in zip(risks.tolist(), left.tolist(), strict=True)
    ]


def _voxels(outputs: Floats, names: Sequence[str]) -> list[Score]:
    """Returns how many pixels or voxels of each image are of each class."""
    highest = outputs.argmax(axis=1).reshape(len(outputs), -1)
    return [
        {
            f"voxels {name}": int(count)
            for name, count in zip(names, np.bincount(row, minlength=len(names)), strict=True)
        }
        for row in highest
    ]


def _classes(label: Label) -> tuple[str, ...]:
    return tuple(getattr(label, "classes", {}))


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(values / 2)), dtype=np.float64)


def _softmax(values: Floats) -> Floats:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def _round(value: float) -> float:
    return round(value, _DECIMALS) + 0.0
