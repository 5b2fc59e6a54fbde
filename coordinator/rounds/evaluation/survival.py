"""Survival: c-index and calibration from counts by interval and bin, shares from signed tables."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.interval import Interval
from compliance.estimates.outcomes.concordance import (
    concordance_from_counts,
    is_concordance_released,
)
from compliance.estimates.outcomes.event_free import (
    event_free_shares,
    still_observed,
    usual_counts,
)
from compliance.estimates.outcomes.outcome_figures import OutcomeFigures
from compliance.estimates.outcomes.predicted_shares import predicted_shares
from compliance.estimates.proportion import proportion
from compliance.estimates.withholding import TOO_FEW
from coordinator.rounds.evaluation.released import (
    EvaluationReader,
    Figures,
    Floats,
    NoisedCounts,
    PartCounts,
)
from protocol.study.study import Study
from protocol.study.task.task import Survival


def _pooled(study: Study, noised: NoisedCounts) -> Figures:
    found = concordance_from_counts(noised.pooled, noised.deviation)
    censored, events = map(float, noised.own.cells.reshape(2, 2).sum(axis=1))
    released = not noised.deviation or is_concordance_released(
        censored,
        events,
        shares=_event_shares(study),
        bins=noised.pooled.shape[2],
        deviation=noised.deviation,
    )
    note = found.note if released else TOO_FEW
    return {"c_index": Interval(value=found.value, low=found.low, high=found.high, note=note)}


def _event_shares(study: Study) -> list[float]:
    """Returns the published share of the events in each interval, and none after the last."""
    ends = (1.0, *_task(study).event_free)
    falls = [before - after for before, after in zip(ends, ends[1:], strict=False)]
    return [*(fall / sum(falls) for fall in falls), 0.0]


def _task(study: Study) -> Survival:
    if not isinstance(study.task, Survival):
        raise ValueError("a survival task has intervals")
    return study.task


#: The parts of the grid's bins in which calibration is told beside all.
_PARTS = ("low scores", "middle scores", "high scores")


def _times(study: Study, noised: NoisedCounts) -> tuple[OutcomeFigures, ...]:
    """Returns, by time, what came of all patients and of those with low, middle, high scores."""
    every = np.arange(noised.pooled.shape[2])
    parts = {"": every, **dict(zip(_PARTS, np.array_split(every, len(_PARTS)), strict=True))}
    found = {part: [*_in_bins(study, noised, places)] for part, places in parts.items()}
    task = _task(study)
    return tuple(
        OutcomeFigures(
            outcome=f"at {time:g}, {part}" if part else f"at {time:g}",
            figures=found[part][place],
            declared=None if part else declared,
        )
        for place, (time, declared) in enumerate(zip(task.times, task.event_free, strict=True))
        for part in parts
    )


def _in_bins(study: Study, noised: NoisedCounts, places: NDArray[np.int64]) -> Iterator[Figures]:
    """Yields the figures at each time of the patients whose scores lie in some of the bins.

    How many of them there are to be expected is asked of the signed tables: of all patients the
    part that the grid's bins are of all, with events in the same part of them.
    """
    bins, deviation = noised.pooled.shape[2], noised.deviation
    counts, spread = noised.pooled[:, :, places].sum(axis=2), deviation * len(places) ** 0.5
    sizes = noised.own.cells.reshape(2, 2).sum(axis=1) * len(places) / bins
    usual = usual_counts(float(sizes[0]), float(sizes[1]), _event_shares(study))
    observed = event_free_shares(counts, spread, usual)
    still = still_observed(counts, spread)
    task = _task(study)
    predicted = (
        predicted_shares(
            noised.pooled.sum(axis=(0, 1))[places],
            deviation * (2 * noised.pooled.shape[1]) ** 0.5,
            places,
            grid=noised.grid,
            bins=bins,
            predict=partial(_event_free, task.hazards),
        )
        if task.loss == "hazard"
        else None
    )
    for place in range(len(observed)):
        found = {"event_free": observed[place]}
        if predicted is not None:
            found["predicted_event_free"] = predicted[place]
        yield {**found, "still_observed": still[place]}


def _event_free(hazards: tuple[float, ...], scores: Floats) -> Floats:
    """Returns the (times, *scores) shares without the event that a model of hazards predicts."""
    logits = np.log(hazards) - np.log1p(-np.array(hazards))
    at = logits.reshape(-1, *[1] * scores.ndim) + scores
    return np.asarray(np.cumprod(1 / (1 + np.exp(at)), axis=0))


def _part(study: Study, part: PartCounts) -> Figures:
    """Returns what a table of event by score above the grid's centre says."""
    low_risk, high_risk, missed, found = map(float, part.cells)
    deviation = part.deviation
    return {
        "events_above": proportion(found, missed, deviation),
        "censored_below": proportion(low_risk, high_risk, deviation),
    }


SURVIVAL = EvaluationReader(pooled=_pooled, part=_part, outcomes=_times)
