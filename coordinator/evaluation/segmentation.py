"""Segmentation: the mean Dice of each class, from three noised sums."""

import math

import numpy as np

from compliance.facts.interval import Z95, Interval
from compliance.facts.released.auroc import TOO_FEW, WIDEST
from compliance.facts.released.proportion import MARGIN
from coordinator.evaluation.released import EvaluationReader, Figures, Floats, NoisedCounts
from protocol.study.study import Study
from protocol.vectors.evaluation import COUNT_UNITS

#: Patients of no more than this are no patients: a sum without noise has whole ones.
_NOBODY = 0.5


def _pooled(study: Study, noised: NoisedCounts) -> Figures:
    return {"dice": mean_dice(noised.pooled, noised.deviation)}


def _site(study: Study, cells: Floats, deviation: float) -> Figures:
    return {"dice": mean_dice(cells[None, :3], deviation)}


def mean_dice(sums: Floats, deviation: float) -> Interval:
    """Returns the mean over classes of the patients' mean Dice, with its 95 % interval.

    Args:
        sums: (classes, 3) of patients that have the class, their Dice, and its squares.
        deviation: of the noise in each; 0 when nothing was added.

    The interval covers patients and noise, by the delta method for a ratio. Withheld where some
    class may have no more than one patient, or where noise alone makes it too wide: asked of the
    numbers of patients, which chooses no draw of the Dice.
    """
    counts = sums[:, 0]
    if float(counts.min()) - MARGIN * deviation <= (1.0 if deviation else _NOBODY):
        note = TOO_FEW if deviation else "a class that no patient has"
        return Interval(value=None, low=None, high=None, note=note)
    classes = len(sums)
    if Z95 * math.sqrt(2 * float(((deviation / counts) ** 2).sum())) / classes > WIDEST:
        return Interval(value=None, low=None, high=None, note=TOO_FEW)
    means = (sums[:, 1] / counts).clip(0.0, 1.0)
    rounded = 1.5 / (COUNT_UNITS * np.sqrt(counts))  # what dithered units may hide of a variance
    spread = ((sums[:, 2] / counts - means**2).clip(0.0, 0.25) + rounded) / (counts - 1).clip(1.0)
    noise = (deviation / counts) ** 2 * (1 + means**2)
    value, half = float(means.mean()), Z95 * math.sqrt(float((spread + noise).sum())) / classes
    return Interval(value=value, low=max(0.0, value - half), high=min(1.0, value + half))


SEGMENTATION = EvaluationReader(pooled=_pooled, site=_site)
