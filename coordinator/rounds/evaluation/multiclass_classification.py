"""Classification into several classes: shares from the table of true by predicted class."""

import math

import numpy as np

from compliance.estimates.binned_scores.calibration import (
    CalibrationPoint,
    calibration_curve,
    released_calibration_error,
)
from compliance.estimates.binned_scores.release_rule import usual_scores
from compliance.estimates.binned_scores.within_bins import BinnedScores
from compliance.estimates.groups import number_of_patients
from compliance.estimates.interval import Z95, Interval
from compliance.estimates.outcomes.class_figures import figures_of_classes, macro_f1
from compliance.estimates.outcomes.outcome_figures import OutcomeFigures
from compliance.estimates.proportion import proportion
from compliance.estimates.withholding import MARGIN, TOO_FEW, USUAL_SHARE, WIDEST
from coordinator.rounds.evaluation.released import (
    EvaluationReader,
    Figures,
    Floats,
    NoisedCounts,
    PartCounts,
)
from protocol.study.cohort.labels import ClassLabel
from protocol.study.study import Study
from protocol.study.task.task import MulticlassClassification


def _pooled(study: Study, noised: NoisedCounts) -> Figures:
    table, confidence = _table(study, noised), _confidence(study, noised)
    figures = {
        "balanced_accuracy": balanced_accuracy(table, noised.deviation),
        **_part(study, noised.own),
        "macro_f1": macro_f1(table, noised.deviation),
    }
    return figures | ({"ece": released_calibration_error(*confidence)} if confidence else {})


def _table(study: Study, noised: NoisedCounts) -> Floats:
    """Returns the counts of true by predicted class, the first of the sum."""
    classes = study.cohort.label.num_classes
    return np.asarray(noised.pooled.reshape(-1)[: classes**2]).reshape(classes, classes)


def _confidence(
    study: Study, noised: NoisedCounts
) -> tuple[BinnedScores, BinnedScores | None] | None:
    """Returns the counts of confidence by wrong and right, and those of a usual model.

    None where the study does not count them.
    """
    classes, task = study.cohort.label.num_classes, study.task
    if not (isinstance(task, MulticlassClassification) and task.confidence):
        return None
    cells = noised.pooled.reshape(-1)[classes**2 :].reshape(2, -1)
    wrong, right = map(float, noised.own.cells[:2])
    usual = usual_scores((wrong, right), cells.shape[1], noised.deviation)
    return BinnedScores.of(cells, noised.deviation, noised.grid), usual


def _calibration(study: Study, noised: NoisedCounts) -> tuple[CalibrationPoint, ...]:
    confidence = _confidence(study, noised)
    return calibration_curve(*confidence) if confidence else ()


def _classes(study: Study, noised: NoisedCounts) -> tuple[OutcomeFigures, ...]:
    label = study.cohort.label
    if not isinstance(label, ClassLabel):
        raise ValueError("a classification has a label with classes")
    found = figures_of_classes(_table(study, noised), noised.deviation)
    return tuple(
        OutcomeFigures(outcome=name, figures=figures)
        for name, figures in zip(label.classes, found, strict=True)
    )


def _part(study: Study, part: PartCounts) -> Figures:
    wrong, right = map(float, part.cells[:2])
    return {"accuracy": proportion(right, wrong, part.deviation)}


def _patients(part: PartCounts) -> Interval:
    return number_of_patients(float(part.cells[:2].sum()), part.deviation, 2)


def balanced_accuracy(table: Floats, deviation: float) -> Interval:
    """Returns the mean share of each class that is found, with its 95 % interval.

    Args:
        table: (classes, classes) counts of true by predicted class, in patients.
        deviation: the noise deviation of each; 0 when nothing was added.

    A class's number of patients is known up to its noise. Withheld where some class may have
    no more than one, or where the interval of a usual table of these sizes is too wide: to
    choose by the sizes chooses no draw of the shares. Variances are taken at shares drawn
    towards one half by one patient of each kind, so that a share of 0 or 1 has a width.

    Source: delta method for a ratio; Agresti and Coull 1998 for the pseudo-counts.
    """
    classes = len(table)
    sizes = table.sum(axis=1)
    least = float((sizes - MARGIN * deviation * math.sqrt(classes)).min())
    if least <= (1.0 if deviation else 1e-9):
        note = TOO_FEW if deviation else "a class without patients"
        return Interval.withheld(note)
    shares = np.clip(table.diagonal() / sizes, 0.0, 1.0)
    value = float(shares.mean())
    half = Z95 * _deviation((shares * sizes + 1) / (sizes + 2), sizes, deviation)
    usual = Z95 * _deviation(np.full(classes, USUAL_SHARE), sizes, deviation)
    note = TOO_FEW if deviation and usual > WIDEST else ""
    return Interval(value=value, low=max(0.0, value - half), high=min(1.0, value + half), note=note)


def _deviation(shares: Floats, sizes: Floats, deviation: float) -> float:
    """Returns the deviation of the mean of shares, each of its own patients and its own noise."""
    found, missed = (1 - shares) ** 2, shares**2 * (len(shares) - 1)
    noise = deviation**2 * (found + missed) / sizes**2
    return float(np.sqrt((shares * (1 - shares) / sizes + noise).sum())) / len(shares)


MULTICLASS_CLASSIFICATION = EvaluationReader(
    pooled=_pooled,
    part=_part,
    patients=_patients,
    calibration=_calibration,
    outcomes=_classes,
)
