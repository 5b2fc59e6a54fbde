"""Survival: one number for a record, higher where the event comes sooner.

By the loss of hazards the output is added to the logit of each interval's published hazard: the
chance that the event comes in that interval, for a patient without it until then. A patient's
loss is the cross entropy of the intervals that it was observed in to the end or to its event;
intervals in which it was censored do not count. By Cox's loss a patient with an event is
compared with all who were still observed then (ties as Breslow has them).

Labels are times, negative where a patient was censored. A patient's score is the mean of its
records' outputs, its label that of the record that was observed longest.

Source: Brown 1975, Biometrics 31, and Singer and Willett 1993, J. Educ. Stat. 18 (discrete
hazards); Cox 1972, JRSS B 34; Breslow 1974, Biometrics 30.
"""

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.evaluation.concordance import concordance
from pipelines.evaluation.metrics import histogram, two_by_two
from pipelines.tasks.task import (
    Counts,
    Floats,
    Singles,
    TaskDefinition,
    in_whole_registers,
    patient_means,
)
from protocol.study.task.task import Survival
from protocol.vectors.evaluation import in_units
from protocol.vectors.score_grid import ScoreGrid

#: Less than any weight that counts.
_TINY = 1e-30


def survival(task: Survival) -> TaskDefinition:
    """Returns the definition for a study's intervals, published hazards and loss."""
    intervals = np.array(task.times, dtype=np.float32).astype(np.float64)  # as labels are
    logits = [math.log(hazard / (1 - hazard)) for hazard in task.hazards]
    cox = task.loss == "cox"
    return TaskDefinition(
        outputs=1,
        starting_bias=(0.0,),
        loss=_cox_loss if cox else partial(_hazard_loss, task.times, logits),
        errors=_cox_errors if cox else partial(_hazard_errors, task.times, logits),
        scores=_scores,
        counts=partial(_counts, intervals),
        own=_own,
        group=_own,
        grid=_grid,
        exact=_exact,
        drawn_labels=partial(_drawn_labels, task.times[-1]),
        couples=cox,
    )


def _observed(times: tuple[float, ...], labels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (intervals, records) ones where a record counts, and where its event is."""
    ends = labels.new_tensor(times)[:, None]
    begins = labels.new_tensor((0.0, *times[:-1]))[:, None]
    passed = labels.abs() >= ends
    event = (labels > 0) & (labels < ends) & (labels >= begins)
    return (passed | event).to(labels.dtype), event.to(labels.dtype)


def _hazard_loss(
    times: tuple[float, ...], logits: list[float], outputs: Tensor, labels: Tensor, weights: Tensor
) -> Tensor:
    counts, events = _observed(times, labels)
    rows = outputs.reshape(1, -1) + outputs.new_tensor(logits)[:, None]
    losses = functional.binary_cross_entropy_with_logits(rows, events, reduction="none")
    return ((losses * counts).sum(dim=0) * weights).sum()


def _hazard_errors(
    times: tuple[float, ...], logits: list[float], outputs: Tensor, labels: Tensor, weights: Tensor
) -> Tensor:
    """Returns the sum of hazard - event over a record's intervals, weighted; in one order."""
    counts, events = _observed(times, labels)
    scores = outputs.reshape(-1)
    total = torch.zeros_like(labels)
    for logit, counted, event in zip(logits, counts, events, strict=True):
        hazards = in_whole_registers(scores + logit, Tensor.sigmoid_)
        total += (hazards - event) * counted
    return (total * weights).reshape(outputs.shape)


def _cox_loss(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Returns the negative partial log likelihood, each record by its weight."""
    logits, still = outputs.reshape(-1), labels.abs()[None, :] >= labels.abs()[:, None]
    present = weights > 0
    among = torch.where(
        still & present, logits + weights.clamp_min(_TINY).log(), logits.new_tensor(-torch.inf)
    )
    events = (labels > 0) & present
    if not bool(events.any()):
        return (logits * 0).sum()
    return ((among[events].logsumexp(dim=1) - logits[events]) * weights[events]).sum()


def _cox_errors(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Returns each record's weight x (the risk of an event that it has borne - its event).

    In time n log n, in float64 and by logarithms: risks are added up from the longest observed to
    the shortest, then what each event adds from the first event to the last.
    """
    logits, times, shares = outputs.reshape(-1).double(), labels.abs(), weights.double()
    logs = torch.where(shares > 0, shares.clamp_min(_TINY).log(), -torch.inf)
    order = torch.argsort(times, descending=True, stable=True)
    last = torch.searchsorted(-times[order], -times, right=True) - 1  # observed as long or longer
    still = (logits + logs)[order].logcumsumexp(0)[last]
    added = torch.where(labels > 0, logs - still, -torch.inf)
    rising = torch.argsort(times, stable=True)
    until = torch.searchsorted(times[rising], times, right=True) - 1
    borne = (logits + logs + added[rising].logcumsumexp(0)[until]).exp()
    errors = torch.where(shares > 0, borne - torch.where(labels > 0, shares, 0.0), 0.0)
    return errors.to(outputs.dtype).reshape(outputs.shape)


def _scores(outputs: Floats, labels: Singles, weights: Singles) -> tuple[Floats, Floats]:
    """Returns mean outputs, and the label of the longest time; an event before a censoring."""
    lengths = np.where(weights > 0, np.abs(labels), -1.0)
    longest = lengths == lengths.max(axis=1, keepdims=True)
    own = np.where(longest & (weights > 0), labels, -np.inf).max(axis=1).astype(np.float64)
    return patient_means(outputs, weights)[:, 0], np.where(np.isfinite(own), own, 0.0)


def _counts(times: Floats, scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns (2, intervals + 1, bins) counts.

    Censored patients stand first, in the interval in which they were last observed, then those
    with an event.
    """
    grid = ScoreGrid.around(reference[:, 0])
    events, interval = labels > 0, np.searchsorted(times, np.abs(labels), side="right")
    rows = [
        histogram(scores[interval == place], events[interval == place] * 1.0, grid.edges(bins))
        for place in range(len(times) + 1)
    ]
    return in_units(np.stack(rows, axis=1))


def _own(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns the (2, 2) table of event by whether the score lies above the grid's centre."""
    middle = ScoreGrid.around(reference[:, 0]).middle
    return in_units(two_by_two(scores - middle, (labels > 0) * 1.0))


def _grid(reference: Floats) -> Counts:
    return np.array(ScoreGrid.around(reference[:, 0]).cells)


def _exact(scores: Floats, labels: Floats) -> Mapping[str, float | None]:
    return {"c_index": concordance(scores, np.abs(labels), labels > 0)}


def _drawn_labels(most: float, random: np.random.Generator, count: int) -> Singles:
    times = random.uniform(0.01 * most, 1.2 * most, count)
    return np.where(random.random(count) < 0.5, times, -times).astype(np.float32)
