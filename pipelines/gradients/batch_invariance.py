"""Batch invariance: a record's result follows from that record alone, bit for bit.

Why: the bound on one patient's influence is exact only if removing a patient
leaves every other patient's result as it was. A matrix product may round a row
differently where it stands elsewhere, and a coordinator that chose the model can
make one such bit decide a whole gradient.

Rules:

1. Every call has the same form, whatever the sample.
2. Rows are independent by construction: linear layers compute whole blocks
   (``whole_blocks``). Whether a network's other layers keep rows apart on this
   machine is tested once, when it is built, on drawn parameters: a library picks
   its code by form, not by value, and no coordinator has a say in what is drawn.
3. What fails the test is computed one patient at a time, in calls of one form.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.gradients.whole_blocks import replica_of

#: Records scored in one call: so many, or fewer of so many numbers.
_SCORE_ROWS, _NUMBERS = 64, 1 << 22

#: See ``drawn_copy``.
SHOWS_ROUNDING = 2.0

Rows = NDArray[np.float32]


def depends_on_own_row_only(compute: Callable[[Rows], Rows], example: Rows) -> bool:
    """Returns whether each row of ``compute(example)`` follows from that row of the example alone.

    Args:
        compute: maps (rows, ...) to (rows, ...).
        example: (rows, ...) drawn values; the test is for this number of rows.
    """
    whole = compute(example)
    if not np.array_equal(compute(example[::-1].copy()), whole[::-1], equal_nan=True):
        return False
    for moved in {1, len(example) - 1} - {0}:
        shifted = np.zeros_like(example)
        shifted[: len(example) - moved] = example[moved:]
        if not np.array_equal(
            compute(shifted)[: len(example) - moved], whole[moved:], equal_nan=True
        ):
            return False
    return True


def drawn_copy(module: nn.Module, spread: float) -> nn.Module:
    """Returns a copy in training mode, on the processor, with drawn numbers added to parameters.

    Parameters as a study starts them would hide differences: zeros round alike in any
    order, and of a small logit the loss's gradient keeps few digits.

    Args:
        module: the network as it was built.
        spread: of what leaves a layer of which inputs of about one enter; with 2 one
            rounding shows, with 0.1 a deep network does not yet blow roundings up.
    """
    generator = np.random.default_rng(0)
    drawn = copy.deepcopy(module).cpu().train()
    with torch.no_grad():
        for parameter in drawn.parameters():
            inputs = parameter[0].numel() if parameter.dim() > 1 else 4
            scale = spread / math.sqrt(inputs)
            noise = generator.normal(scale=scale, size=tuple(parameter.shape))
            parameter.add_(torch.from_numpy(noise.astype(np.float32)))
    return drawn


@contextmanager
def without_subnormals() -> Iterator[None]:
    """Counts numbers below float32's normal range as zero, in this thread.

    On a processor arithmetic with them takes many times longer: a model could be chosen so that
    one patient's do, and the clock would tell whether that patient was drawn.

    Source: Andrysco et al. 2015, "On subnormal floating point and abnormal timing".
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class RecordOutputs:
    """A network's outputs, each record's a function of that record alone.

    Args:
        module: maps (records, ...) to (records, outputs); what is loaded into it counts.
        form: the form of one record's features.

    Attributes:
        size: how many numbers come out for a record.
        rows: how many records are computed in one call.
    """

    def __init__(self, module: nn.Module, form: tuple[int, ...]) -> None:
        self._replica = replica_of(module).eval()
        device = next(module.parameters()).device
        drawn = replica_of(drawn_copy(module, SHOWS_ROUNDING).to(device)).eval()
        rows = max(1, min(_SCORE_ROWS, _NUMBERS // math.prod(form)))
        example = np.random.default_rng(0).normal(size=(rows, *form)).astype(np.float32)
        row_independent = depends_on_own_row_only(lambda rows: _outputs(drawn, rows), example)
        self.size = _outputs(drawn, example[:1]).shape[1]
        self.rows = rows if row_independent else 1

    def __call__(self, features: Rows) -> Rows:
        """Returns (records, outputs); time and form of the work follow from their number."""
        outputs = np.zeros((len(features), self.size), dtype=np.float32)
        filled = np.zeros((self.rows, *features.shape[1:]), dtype=np.float32)
        with without_subnormals():
            for begin in range(0, len(features), self.rows):
                part = features[begin : begin + self.rows]
                filled[: len(part)] = part
                outputs[begin : begin + len(part)] = _outputs(self._replica, filled)[: len(part)]
        return outputs


def _outputs(module: nn.Module, features: Rows) -> Rows:
    device = next(module.parameters()).device
    with torch.no_grad():
        found = module(torch.from_numpy(features).to(device))
    rows: Rows = found.reshape(len(features), -1).cpu().numpy()
    return rows
