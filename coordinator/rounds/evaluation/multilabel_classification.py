"""Classification by several labels: the mean AUROC from each label's bins, shares from the tables.

A hospital's table is the mean over the findings of their tables: a patient adds one in all,
spread over the cells.
"""

import math

import numpy as np

from compliance.estimates.binned_scores.auroc import auroc_from_histogram
from compliance.estimates.binned_scores.release_rule import is_released
from compliance.estimates.interval import Interval
from compliance.estimates.outcomes.outcome_figures import OutcomeFigures
from compliance.estimates.proportion import proportion
from compliance.estimates.withholding import MARGIN, TOO_FEW, too_few
from coordinator.rounds.evaluation.released import (
    EvaluationReader,
    Figures,
    Floats,
    NoisedCounts,
    PartCounts,
)
from protocol.study.cohort.labels import FindingsLabel
from protocol.study.study import Study


def _pooled(study: Study, noised: NoisedCounts) -> Figures:
    return {
        "mean_auroc": mean_auroc(noised),
        "accuracy": _part(study, noised.own)["accuracy"],
    }


def mean_auroc(noised: NoisedCounts) -> Interval:
    """Returns the mean of the labels' AUROCs.

    The labels are of the same patients, so nothing is gained by their number: the interval is
    the mean of the labels' own.
    """
    found = [auroc_from_histogram(counts, noised.deviation) for counts in noised.pooled]
    negatives, positives = map(float, noised.own.cells.reshape(2, 2).sum(axis=1))
    bins = noised.pooled.shape[2]
    if not is_released(negatives, positives, bins=bins, noise_sigma=noised.deviation):
        return Interval.withheld(TOO_FEW)
    notes = [one.note or TOO_FEW for one in found if one.value is None or one.note]
    if notes:
        return Interval.withheld(notes[0])
    return Interval(
        value=float(np.mean([one.value for one in found])),
        low=float(np.mean([one.low for one in found])),
        high=float(np.mean([one.high for one in found])),
    )


def _part(study: Study, part: PartCounts) -> Figures:
    true_negative, false_positive, false_negative, true_positive = map(float, part.cells)
    deviation = part.deviation
    return {
        "accuracy": proportion(
            true_negative + true_positive, false_positive + false_negative, deviation * 2**0.5
        ),
        "sensitivity": proportion(true_positive, false_negative, deviation),
        "specificity": proportion(true_negative, false_positive, deviation),
    }


def _findings(study: Study, noised: NoisedCounts) -> tuple[OutcomeFigures, ...]:
    label = study.cohort.label
    if not isinstance(label, FindingsLabel):
        raise ValueError("a classification by several labels has findings")
    return tuple(
        OutcomeFigures(outcome=name, figures=_of_finding(counts, noised.deviation))
        for name, counts in zip(label.findings, noised.pooled, strict=True)
    )


def _of_finding(counts: Floats, deviation: float) -> Figures:
    """Returns a finding's figures.

    No hospital signs how many patients have it, so whether its AUROC is shown is asked of the
    least number that the noise in these counts allows.
    """
    negatives, positives = map(float, counts.sum(axis=1))
    bins, note = counts.shape[1], too_few(deviation)
    found, spread = auroc_from_histogram(counts, deviation), MARGIN * deviation * math.sqrt(bins)
    released = is_released(negatives - spread, positives - spread, bins=bins, noise_sigma=deviation)
    return {
        "auroc": Interval(
            value=found.value, low=found.low, high=found.high,
            note=found.note if released else note,
        ),
        "ill": proportion(positives, negatives, deviation, cells=(bins, bins)),
    }  # fmt: skip


MULTILABEL_CLASSIFICATION = EvaluationReader(pooled=_pooled, part=_part, outcomes=_findings)
