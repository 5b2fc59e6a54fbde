"""Per-patient gradients, and their exact clipping to integers.

Rules:

1. A patient's gradient is the mean over that patient's records, clipped once.
   All of a patient's records are in one call: a patient never straddles calls.
2. After clipping, gradients are integers whose exact squared norm is at most
   ``units**2``. Sums of integers have no rounding and no order, so one patient
   changes the sum by at most ``units``, exactly (ruling 11).
3. A gradient that is not finite becomes zeros; to stop instead would tell
   the world something about that patient (ruling 2).
"""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.records import number_patients

#: Records per forward pass when only scores are wanted.
_SCORE_BATCH = 512
#: Numbers of one block of patients while clipping: 32 MB of float64.
_BLOCK = 1 << 22
#: Keeps the float clip safely inside the bound before truncation.
_MARGIN = 1e-6


class PatientGradients(Protocol):
    """An engine that computes one gradient for every patient of a micro-batch."""

    def __call__(
        self,
        module: nn.Module,
        features: torch.Tensor,
        labels: torch.Tensor,
        patients_in_batch: torch.Tensor,
    ) -> NDArray[np.float32]:
        """Returns (patients, parameters): each patient's mean gradient of the loss.

        Args:
            module: maps features to (records, 1) logits; its parameters are
                not changed.
            features: (records, ...) float32.
            labels: (records,) float32, 0 or 1.
            patients_in_batch: (records,) int64, the patient of each record; any numbers.

        Rows stand in order of the patients' first appearance; columns as in
        ``protocol.tensors.flatten``. The loss of a record is binary cross
        entropy with logits. A row may hold NaN or infinity: see
        ``clip_to_integers``.
        """
        ...


class OpacusGradients:
    """Per-record gradients by Opacus' hooks, one forward and backward for all records.

    Source: Yousefpour et al. 2021, arXiv 2109.12298; hooks of opacus 1.6.
    """

    def __call__(
        self,
        module: nn.Module,
        features: torch.Tensor,
        labels: torch.Tensor,
        patients_in_batch: torch.Tensor,
    ) -> NDArray[np.float32]:
        """Returns (patients, parameters) mean gradients; see ``PatientGradients``."""
        places, patients = number_patients(patients_in_batch.numpy())
        names = sorted(name for name, _ in module.named_parameters())
        if not len(patients):
            size = sum(parameter.numel() for parameter in module.parameters())
            return np.zeros((0, size), dtype=np.float32)
        per_record = _record_gradients(module, features, labels)
        flat = torch.cat([per_record[name].reshape(len(places), -1) for name in names], dim=1)
        if len(patients) == len(places):
            return flat.numpy()
        index = torch.from_numpy(places)
        total = torch.zeros(len(patients), flat.shape[1]).index_add_(0, index, flat)
        return (total / torch.bincount(index)[:, None]).numpy()


def _record_gradients(
    module: nn.Module, features: torch.Tensor, labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Returns each parameter's (records, \\*shape) gradients; the module is left as it was."""
    from opacus.grad_sample import GradSampleModule  # seconds of import: only who trains

    was_training = module.training
    wrapped = GradSampleModule(module.train(), loss_reduction="sum")
    try:
        with torch.enable_grad():
            logits = wrapped(features.detach().requires_grad_()).reshape(-1)
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
            torch.autograd.backward(loss)
        return {
            name: parameter.grad_sample.detach()  # type: ignore[attr-defined]  # set by the hooks
            for name, parameter in module.named_parameters()
        }
    finally:
        wrapped.to_standard_module()
        module.zero_grad(set_to_none=True)
        module.train(was_training)


#: Every engine by the name under which a run records it.
ENGINES: dict[str, Callable[[], PatientGradients]] = {"opacus": OpacusGradients}


def clip_to_integers(
    gradients: NDArray[np.floating], *, clip: float, units: int
) -> tuple[NDArray[np.int64], int]:
    """Returns the integer sum of all patients' clipped gradients.

    Args:
        gradients: (patients, parameters), a row per patient; any value at all.
        clip: the L2 bound C in the units of the gradients.
        units: the integer length that stands for ``clip``.

    Returns:
        (parameters,) int64, in units of ``clip / units``, and how many patients
        were within the bound and so not shortened. Guarantee: adding
        or removing one row changes the sum by an integer vector whose exact
        L2 norm is at most ``units``.

    >>> total, unclipped = clip_to_integers(np.array([[3.0, 4.0], [0.0, 0.5]]), clip=1, units=10)
    >>> total.tolist(), unclipped
    ([5, 12], 1)

    Source: ``privacy.md`` C.2 with rulings 2 and 11.
    """
    if not 0 < clip < math.inf:
        raise ValueError(f"clip must be finite and positive, got {clip!r}")
    if not 1 <= units <= 2**24:
        raise ValueError(f"units must be from 1 to 2**24, got {units!r}")
    patients, dim = gradients.shape
    total = np.zeros(dim, dtype=np.int64)
    unclipped = 0
    step = max(1, _BLOCK // max(1, dim))
    for start in range(0, patients, step):
        integers, within = _clip_block(gradients[start : start + step], clip, units)
        total += integers.sum(axis=0, dtype=np.int64)
        unclipped += within
    return total, unclipped


def _clip_block(
    block: NDArray[np.floating], clip: float, units: int
) -> tuple[NDArray[np.int64], int]:
    """Returns every row of a block as integers within the bound, and how many fitted at once."""
    rows = block.astype(np.float64)
    finite = np.isfinite(rows).all(axis=1)
    rows[~finite] = 0.0
    # Divided by its largest entry first, no row's norm can overflow or vanish.
    peaks = np.abs(rows).max(axis=1, initial=0.0)
    rows /= np.where(peaks > 0, peaks, 1.0)[:, None]
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    with np.errstate(over="ignore"):
        norms = lengths * peaks
        as_they_are = peaks / clip * units
    shortened = units * (1 - _MARGIN) / np.maximum(lengths, 1.0)
    scale = np.where(norms > clip * (1 - _MARGIN), shortened, as_they_are)
    integers = np.trunc(rows * scale[:, None]).astype(np.int64)
    return _shorten(integers, units), int(((norms <= clip) & finite).sum())


def _shorten(integers: NDArray[np.int64], units: int) -> NDArray[np.int64]:
    """Returns the rows, those with an exact norm above ``units`` truncated until it is not."""
    while True:
        squares = np.einsum("ij,ij->i", integers, integers)  # exact: entries are below 2**26
        over = squares > units * units
        if not over.any():
            return integers
        shrink = units / np.sqrt(squares[over].astype(np.float64)) * (1 - _MARGIN)
        integers[over] = np.trunc(integers[over] * shrink[:, None]).astype(np.int64)


def scores(module: nn.Module, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the (records,) logits of the network in evaluation mode."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            batches = [
                module(torch.from_numpy(features[start : start + _SCORE_BATCH])).reshape(-1).numpy()
                for start in range(0, len(features), _SCORE_BATCH)
            ]
    finally:
        module.train(was_training)
    return np.concatenate(batches) if batches else np.zeros(0, dtype=np.float32)
