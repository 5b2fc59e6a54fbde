"""Segmentation: Dice of each class, and how far surfaces lie apart, from noised sums."""

import math

import numpy as np

from compliance.estimates.interval import Z95, Interval
from compliance.estimates.outcomes.outcome_figures import OutcomeFigures
from compliance.estimates.proportion import part_of
from compliance.estimates.withholding import BESIDE, MARGIN, NO_PATIENT, TOO_FEW, WIDEST
from coordinator.rounds.evaluation.released import (
    EvaluationReader,
    Figures,
    Floats,
    NoisedCounts,
    PartCounts,
    patients_first,
)
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.labels import MaskLabel
from protocol.study.study import Study
from protocol.study.task.task import Segmentation
from protocol.vectors.evaluation import COUNT_UNITS, DICE_BORDERS

#: Patients of equal Dice are rounded alike, by less than one unit (dithered units), and that does
#: not average out.
_ROUNDED = 1 / COUNT_UNITS


def _pooled(study: Study, noised: NoisedCounts) -> Figures:
    return {"dice": mean_dice(noised.pooled[:, :3], noised.deviation)}


def _part(study: Study, part: PartCounts) -> Figures:
    return {"dice": mean_dice(part.cells[None, :3], part.deviation)}


def mean_dice(sums: Floats, deviation: float) -> Interval:
    """Returns the mean over classes of the patients' mean Dice, with its 95 % interval.

    Args:
        sums: (classes, 3) of patients that have the class, their Dice, and its squares.
        deviation: of the noise in each; 0 when nothing was added.

    The interval covers patients and noise. Classes are of the same patients, so their
    deviations are added; a class's variance is taken with one patient more of Dice 0 and one of
    Dice 1, so that patients who are all alike, or few, leave a width. Withheld where some class
    may have no more than one patient (without noise: none), or where noise alone makes it too
    wide: asked of the numbers of patients. To choose by these chooses draws of their noise, so near
    the border of what is shown the interval is laid for the least and the greatest numbers that
    their noise allows, together with the noise of the rest alone.

    Source: delta method for a ratio; Agresti and Coull 1998 for the patients that are added.
    """
    counts = sums[:, 0]
    if float(counts.min()) - MARGIN * deviation <= (1.0 if deviation else NO_PATIENT):
        nobody = "no patients" if counts.max() <= NO_PATIENT else "a class that no patient has"
        note = TOO_FEW if deviation else nobody
        return Interval.withheld(note)
    if not _is_narrow(counts, deviation):
        return Interval.withheld(TOO_FEW)
    means = (sums[:, 1] / counts).clip(0.0, 1.0)
    slopes = means / counts
    longest = float(np.sqrt((slopes**2).sum()))
    off = BESIDE * deviation * slopes / longest if longest else np.zeros_like(counts)
    low, high = _around(sums, counts, float(deviation**2 * ((1 + means**2) / counts**2).sum()))
    if not _is_narrow(counts - off, deviation):
        for some in (counts - off, counts + off):
            ends = _around(sums, some, float(((deviation / some) ** 2).sum()))
            low, high = min(low, ends[0]), max(high, ends[1])
    return Interval(value=float(means.mean()), low=max(0.0, low), high=min(1.0, high))


def _is_narrow(counts: Floats, deviation: float) -> bool:
    """Whether noise alone leaves the mean of so many patients of each class an interval."""
    if not deviation:
        return True
    if float(counts.min()) <= 0:
        return False
    noise = math.sqrt(2 * float(((deviation / counts) ** 2).sum()))
    return Z95 * noise / len(counts) <= WIDEST


def _around(sums: Floats, counts: Floats, noise: float) -> tuple[float, float]:
    """Returns the bounds of the mean of so many patients of each class.

    Args:
        sums: as ``mean_dice`` has them.
        counts: of the patients of each class, above zero.
        noise: its variance in the sum of the classes' means.
    """
    means = (sums[:, 1] / counts).clip(0.0, 1.0)
    squares = (sums[:, 2] / counts).clip(means**2, means)
    added = (means * counts + 1) / (counts + 2)
    spread = (squares * counts + 1) / (counts + 2) - added**2
    patients = float(np.sqrt(spread / counts).sum())
    half = Z95 * math.sqrt(patients**2 + noise) / len(sums) + _ROUNDED
    return float(means.mean()) - half, float(means.mean()) + half


#: A distance is shown where noise alone moves it by so little of the diagonal.
_NEAR = 0.05


def _classes(study: Study, noised: NoisedCounts) -> tuple[OutcomeFigures, ...]:
    label, cohort, task = study.cohort.label, study.cohort, study.task
    if not isinstance(label, MaskLabel) or not isinstance(cohort, ImageCohort):
        raise ValueError("a segmentation has a mask of images")
    diagonal = None
    if isinstance(task, Segmentation) and task.distances:
        diagonal = math.sqrt(sum((side - 1) ** 2 for side in cohort.image.shape))
    return tuple(
        OutcomeFigures(outcome=name, figures=_of_class(sums, noised.deviation, diagonal))
        for name, sums in zip([*label.classes][1:], noised.pooled, strict=True)
    )


def _of_class(sums: Floats, deviation: float, diagonal: float | None) -> Figures:
    """Returns a class's figures; ``diagonal`` of the image in pixels, where distances are counted.

    A distance and its square are summed as Dice and its square are, so its mean is found alike.
    """
    found = {"dice": mean_dice(sums[None, :3], deviation)}
    if diagonal is None:
        return found
    count, below = float(sums[0]), np.cumsum(sums[3 : 3 + len(DICE_BORDERS)])
    for place, border in enumerate(DICE_BORDERS):
        found[f"dice_below_{border:g}"] = part_of(
            float(below[place]), count, deviation, cells=place + 1
        )
    apart = mean_dice(sums[None, [0, -2, -1]], deviation)
    if deviation and Z95 * math.sqrt(2) * deviation / max(count, 1.0) > _NEAR:
        apart = Interval.withheld(TOO_FEW)
    return {**found, "hausdorff": _times(apart, diagonal)}


def _times(found: Interval, unit: float) -> Interval:
    if found.value is None or found.low is None or found.high is None:
        return found
    return Interval(value=found.value * unit, low=found.low * unit, high=found.high * unit)


SEGMENTATION = EvaluationReader(
    pooled=_pooled, part=_part, patients=patients_first, outcomes=_classes
)
