"""Survival: the c-index from counts by interval and bin, shares from the signed tables."""

from compliance.estimates.binned_scores.auroc import TOO_FEW
from compliance.estimates.concordance import concordance_from_counts, is_concordance_released
from compliance.estimates.interval import Interval
from compliance.estimates.proportion import proportion
from coordinator.evaluation.released import EvaluationReader, Figures, NoisedCounts, PartCounts
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
    if not isinstance(study.task, Survival):
        raise ValueError("a survival task has intervals")
    ends = (1.0, *study.task.event_free)
    falls = [before - after for before, after in zip(ends, ends[1:], strict=False)]
    return [*(fall / sum(falls) for fall in falls), 0.0]


def _part(study: Study, part: PartCounts) -> Figures:
    """Returns what a table of event by score above the grid's centre says."""
    low_risk, high_risk, missed, found = map(float, part.cells)
    deviation = part.deviation
    return {
        "events_above": proportion(found, missed, deviation),
        "censored_below": proportion(low_risk, high_risk, deviation),
    }


SURVIVAL = EvaluationReader(pooled=_pooled, part=_part)
