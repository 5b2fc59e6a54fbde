"""The record that defines a task: what engines, trainer and evaluation need to know of it.

The study's section ``task`` names it (``protocol.study.task.task``); sizes and bounds of its
evaluation, which both institutions need, are in ``protocol.vectors.evaluation``; the figures
that follow from a sum of counts are the coordinator's (``coordinator.rounds.evaluation``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from protocol.vectors.evaluation import GRID_CELLS

Floats: TypeAlias = NDArray[np.float64]
Singles: TypeAlias = NDArray[np.float32]
Counts: TypeAlias = NDArray[np.int64]


def no_grid(reference: Floats) -> Counts:
    """Returns the grid of a task that counts no scores: zeros."""
    return np.zeros(GRID_CELLS, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class TaskDefinition:
    """A task of a network, as pure functions; records are independent unless it ``couples``.

    Attributes:
        outputs: how many numbers the network gives for a record.
        starting_bias: the (outputs,) biases of the network's last layer to start from; None
            leaves them as the network has them.
        loss: of (records, outputs, ...) outputs, (records, ...) labels and (records,) weights,
            the weighted sum of the records' losses.
        errors: the gradient of ``loss`` at the outputs, in their form, of the same arguments.
            Guarantee, unless it ``couples``: each row follows from that row alone, bit for bit.
        scores: of (patients, records, outputs) outputs, (patients, records) labels and
            weights, each patient's (patients, ...) score, in the form that ``counts`` and ``exact``
            take, and label, zeros where the score holds it. The
            weights of a patient add up to 1; what has weight 0 does not count.
        counts: of patients' scores and labels, the (records, outputs) outputs of reference
            inputs, and the number of bins: the counts for the secure sum, in units
            (``protocol.vectors.evaluation.COUNT_UNITS``).
        own: of the same, the counts of a hospital's own.
        group: of the same, the counts of one group of patients. Guarantee: one patient changes
            any of the three by the L2 norm that ``EvaluationVector`` says at most.
        grid: of the reference outputs, the two whole numbers that say where bins lie.
        exact: of patients' scores and labels, exact figures by name, which never leave a
            hospital; None where the patients do not support one.
        couples: whether a record's loss depends on other records too; a row of ``errors``
            then follows from all of a step's records, and no engine is asked for its loss.
        drawn_labels: of a seeded generator and a number of records, labels that records may
            have: engines are compared on them.
    """

    outputs: int
    starting_bias: tuple[float, ...] | None
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    errors: Callable[[Tensor, Tensor, Tensor], Tensor]
    scores: Callable[[Floats, Singles, Singles], tuple[Floats, Floats]]
    counts: Callable[[Floats, Floats, Floats, int], Counts]
    own: Callable[[Floats, Floats, Floats, int], Counts]
    exact: Callable[[Floats, Floats], Mapping[str, float | None]]
    drawn_labels: Callable[[np.random.Generator, int], Singles]
    group: Callable[[Floats, Floats, Floats, int], Counts]
    grid: Callable[[Floats], Counts] = no_grid
    couples: bool = False

    @property
    def by_record(self) -> "TaskDefinition":
        """This task where records are independent; else its linear form at a point.

        In that form a record's label is the gradient of the loss at its output, and its loss
        label x output: gradients are the same, and follow from the record alone.
        """
        if not self.couples:
            return self
        return replace(
            self, loss=_linear_loss, errors=_linear_errors, drawn_labels=_drawn, couples=False
        )


def _linear_loss(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return (outputs.reshape(-1) * labels * weights).sum()


def _linear_errors(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return (labels * weights).reshape(outputs.shape)


def _drawn(random: np.random.Generator, count: int) -> Singles:
    return random.standard_normal(count).astype(np.float32)


#: Numbers that are computed at once: what is left over at the end of a longer row than a register
#: holds would be computed by other code.
REGISTERS = 64


def in_whole_registers(numbers: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Returns an elementwise function of the numbers, their row's end computed like the rest.

    Args:
        numbers: (..., row); they are left as they are.
        compute: may work in place.
    """
    count = numbers.shape[-1]
    return compute(functional.pad(numbers, (0, -count % REGISTERS)))[..., :count]


def patient_means(outputs: Floats, weights: Singles) -> Floats:
    """Returns the (patients, outputs) weighted means of the patients' outputs."""
    present = (weights > 0)[..., None]
    means: Floats = np.where(present, outputs * weights[..., None], 0).sum(axis=1)
    return means


def highest_labels(labels: Singles, weights: Singles) -> Floats:
    """Returns the (patients,) highest labels of the patients' records."""
    highest: Floats = np.where(weights > 0, labels, 0).max(axis=1).astype(np.float64)
    return highest
