"""The record that defines a task: what engines, trainer and evaluation need to know of it.

The study's section ``task`` names it (``protocol.study.task``); sizes and bounds of its
evaluation, which both institutions need, are in ``protocol.vectors.evaluation``; the figures
that follow from a sum of counts are the coordinator's (``coordinator.evaluation``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from protocol.study.task import Task

Floats: TypeAlias = NDArray[np.float64]
Singles: TypeAlias = NDArray[np.float32]
Counts: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TaskDefinition:
    """A task of a network, as pure functions; records are independent of each other.

    Attributes:
        outputs: how many numbers the network gives for a record.
        starting_bias: of a study's section, the (outputs,) biases of the network's last
            layer to start from; None leaves them as the network has them.
        loss: of (records, outputs) outputs, (records,) labels and weights, the weighted sum
            of the records' losses.
        errors: the gradient of ``loss`` at the outputs, (records, outputs), of the same
            arguments. Guarantee: each row follows from that row alone, bit for bit.
        scores: of (patients, records, outputs) outputs, (patients, records) labels and
            weights, each patient's score and label. The weights of a patient add up to 1;
            what has weight 0 does not count.
        counts: of patients' scores and labels, the (records, outputs) outputs of reference
            inputs, and the number of bins: the counts for the secure sum, the hospital's own
            counts, and whole numbers that follow from the reference outputs alone.
            Guarantee: one patient changes each of the first two by an L2 norm of at most
            ``EvaluationVector.influence``, and the third not at all.
        exact: of patients' scores and labels, exact figures by name, which never leave a
            hospital; None where the patients do not support one.
    """

    outputs: int
    starting_bias: Callable[[Task], tuple[float, ...] | None]
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    errors: Callable[[Tensor, Tensor, Tensor], Tensor]
    scores: Callable[[Floats, Singles, Singles], tuple[Floats, Floats]]
    counts: Callable[[Floats, Floats, Floats, int], tuple[Counts, Counts, Counts]]
    exact: Callable[[Floats, Floats], Mapping[str, float | None]]
