"""Segmentation: a class for every pixel or voxel of an image, the first being the background.

The loss of a record is the mean cross entropy of its pixels and, with the same weight, one minus
the mean soft Dice of its other classes. A patient's score is, class by class, how many pixels
were found rightly, predicted and true, over all of its records. With ``distances`` it also holds
the mean, over the records that have the class, of how far the surfaces lie apart.

Source: Milletari et al. 2016, V-Net (soft Dice); Isensee et al. 2021, nnU-Net (with cross entropy).
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
from torch import Tensor
from torch.nn import functional

from pipelines.evaluation.surface_distances import distance_part
from pipelines.tasks.dithered_units import in_dithered_units
from pipelines.tasks.task import Counts, Floats, Singles, TaskDefinition, in_whole_registers
from protocol.vectors.evaluation import DICE_BORDERS

#: Added to both sides of a Dice, so that a class that nobody has gives one.
_SMOOTH = 1e-5


def segmentation(
    classes: int, shape: tuple[int, ...], *, distances: bool = False
) -> TaskDefinition:
    """Returns the definition for so many classes, and images of this form.

    Args:
        classes: the background among them.
        shape: of the images.
        distances: whether distances of surfaces, and Dice by intervals, are counted too.
    """
    columns = 4 if distances else 3
    return TaskDefinition(
        outputs=classes,
        starting_bias=None,
        loss=_loss,
        errors=_errors,
        scores=partial(_scores_with_distances if distances else _scores, classes, shape),
        counts=_detailed_counts if distances else _counts,
        own=partial(_own, columns),
        group=partial(_own, columns),
        exact=partial(_exact, columns),
        drawn_labels=partial(_drawn_labels, classes, shape),
    )


def _one_hot(outputs: Tensor, labels: Tensor) -> Tensor:
    """Returns (records, classes, pixels) ones where a pixel has the class."""
    true = functional.one_hot(labels.flatten(1).long(), outputs.shape[1]).movedim(-1, 1)
    return true.to(outputs.dtype)


def _sums(chances: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the (records, classes, 1) sums of a Dice: twice what both have, what each has."""
    both = 2 * (chances * truth).sum(dim=2, keepdim=True) + _SMOOTH
    each = chances.sum(dim=2, keepdim=True) + truth.sum(dim=2, keepdim=True) + _SMOOTH
    return both, each


def _loss(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    logits, truth = outputs.flatten(2), _one_hot(outputs, labels)
    both, each = _sums(logits.softmax(dim=1), truth)
    entropy = -(logits.log_softmax(dim=1) * truth).sum(dim=1).mean(dim=1)
    dice = (both / each)[:, 1:, 0].mean(dim=1)
    return ((entropy + 1 - dice) * weights).sum()


def _errors(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    outputs = outputs.contiguous()
    chances, truth = _chances(outputs.flatten(2)), _one_hot(outputs, labels)
    both, each = _sums(chances, truth)
    entropy = (chances - truth) / truth.shape[2]
    of_chances = (both - 2 * truth * each) / each**2 / (truth.shape[1] - 1)
    of_chances[:, 0] = 0.0  # the background has no Dice
    mean = (chances * of_chances).sum(dim=1, keepdim=True)
    errors = entropy + chances * (of_chances - mean)
    return (errors * weights[:, None, None]).reshape(outputs.shape)


def _chances(logits: Tensor) -> Tensor:
    """Returns softmax over the classes; powers are taken of whole registers, sums in one order."""
    spread = logits - logits.amax(dim=1, keepdim=True)
    powers = in_whole_registers(spread, Tensor.exp_)
    total = powers[:, 0].clone()
    for place in range(1, powers.shape[1]):
        total += powers[:, place]
    return powers / total[:, None]


def _scores(
    classes: int, shape: tuple[int, ...], outputs: Floats, labels: Singles, weights: Singles
) -> tuple[Floats, Floats]:
    """Returns (patients, 3 x (classes - 1)) pixels found, predicted and true; no labels."""
    patients, records = weights.shape
    predicted = outputs.reshape(patients, records, classes, -1).argmax(axis=2)
    true, present = labels.reshape(patients, records, -1), (weights > 0)[..., None]
    sums = np.zeros((patients, classes - 1, 3))
    for place in range(1, classes):
        guessed, truly = (predicted == place) & present, (true == place) & present
        for column, chosen in enumerate((guessed & truly, guessed, truly)):
            sums[:, place - 1, column] = chosen.sum(axis=(1, 2))
    return sums.reshape(patients, -1), np.zeros(patients)


def _scores_with_distances(
    classes: int, shape: tuple[int, ...], outputs: Floats, labels: Singles, weights: Singles
) -> tuple[Floats, Floats]:
    """Returns the same with each class's distance behind: (patients, 4 x (classes - 1))."""
    (patients, records), (sums, none) = (
        weights.shape,
        _scores(classes, shape, outputs, labels, weights),
    )
    predicted = outputs.reshape(patients, records, classes, *shape).argmax(axis=2)
    true, mean = labels.reshape(patients, records, *shape), np.zeros((patients, classes - 1, 1))
    for patient in range(patients):
        present = np.flatnonzero(weights[patient] > 0)
        for place in range(1, classes):
            parts = [
                distance_part(predicted[patient, record] == place, own)
                for record in present
                if (own := true[patient, record] == place).any()
            ]
            mean[patient, place - 1] = np.mean(parts) if parts else 0.0
    by_class = sums.reshape(patients, classes - 1, 3)
    return np.concatenate([by_class, mean], axis=2).reshape(patients, -1), none


def _by_class(scores: Floats, columns: int) -> Floats:
    """Returns (columns, patients, classes - 1) of what stands in patients' scores."""
    return np.moveaxis(scores.reshape(len(scores), scores.shape[1] // columns, columns), 2, 0)


def _dice(scores: Floats, columns: int) -> tuple[Floats, Floats]:
    """Returns (patients, classes - 1) Dice, and ones where the patient truly has the class."""
    found, predicted, true = _by_class(scores, columns)[:3]
    has = (true > 0).astype(np.float64)
    return np.where(has > 0, 2 * found / np.maximum(predicted + true, 1.0), 0.0), has


def _counts(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns the sums of 1, d, d**2 over patients that have a class, for each class."""
    dice, has = _dice(scores, 3)
    each = np.stack([has, dice, dice**2], axis=2)
    sums: Counts = in_dithered_units(each).sum(axis=0).reshape(-1)
    return sums


def _detailed_counts(scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns the sums of 1, d, d**2, ones by the interval that d lies in, h and h**2."""
    dice, has = _dice(scores, 4)
    apart = _by_class(scores, 4)[3] * has
    places = np.searchsorted(DICE_BORDERS, dice, side="right")
    inside = [has * (places == place) for place in range(len(DICE_BORDERS))]
    each = np.stack([has, dice, dice**2, *inside, apart, apart**2], axis=2)
    sums: Counts = in_dithered_units(each).sum(axis=0).reshape(-1)
    return sums


def _own(columns: int, scores: Floats, labels: Floats, reference: Floats, bins: int) -> Counts:
    """Returns the sums of 1, d, d**2 of a patient's mean Dice over the classes that it has."""
    dice, has = _dice(scores, columns)
    some = has.sum(axis=1) > 0
    mean = np.where(some, dice.sum(axis=1) / np.maximum(has.sum(axis=1), 1.0), 0.0)
    own = np.stack([some.astype(np.float64), mean, mean**2])
    return np.array([*in_dithered_units(own).sum(axis=1), 0])


def _exact(columns: int, scores: Floats, labels: Floats) -> Mapping[str, float | None]:
    if not len(scores):
        return {"dice": None}
    dice, has = _dice(scores, columns)
    patients = has.sum(axis=0)
    if not patients.all():
        return {"dice": None}
    return {"dice": float((dice.sum(axis=0) / patients).mean())}


def _drawn_labels(
    classes: int, shape: tuple[int, ...], random: np.random.Generator, count: int
) -> Singles:
    return random.integers(classes, size=(count, *shape)).astype(np.float32)
