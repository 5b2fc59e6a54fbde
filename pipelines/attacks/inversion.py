"""First-layer inversion: a patient's record, read from a gradient.

Where a record meets a linear layer with a bias, the weights' gradient is the
bias' gradient times the record: their quotient is the record itself. A sum of
many patients gives a mixture, noise gives nothing (Geiping et al. 2020, arXiv
2003.14053, proposition 3.1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipelines.networks.architecture import SummedOutputs
from protocol.vectors.tensors import Layout, unflatten

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FirstLayer:
    """The names of the first linear layer's weight and bias."""

    weight: str
    bias: str


def first_layer(module: nn.Module, width: int) -> FirstLayer | None:
    """Returns the linear layer that the record meets; None where none is trained with its bias.

    Args:
        module: the network.
        width: how many numbers the record, or the table beside its image, has.

    Of late fusion it is the table's, whose gradient the image's network does not touch.
    """
    if isinstance(module, SummedOutputs):
        found = first_layer(module.table, width)
        return found and FirstLayer(weight=f"table.{found.weight}", bias=f"table.{found.bias}")
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return None
        if isinstance(layer, nn.Linear):
            trained = all(isinstance(own, nn.Parameter) for own in (layer.weight, layer.bias))
            fits = layer.in_features == width and trained
            prefix = f"{name}." if name else ""
            return FirstLayer(weight=f"{prefix}weight", bias=f"{prefix}bias") if fits else None
    return None


def recover(update: Floats, layout: Layout, layer: FirstLayer) -> Floats:
    """Returns (neurons, width): the record that each neuron's gradients reveal.

    A neuron whose bias did not move says nothing and gives zeros.
    """
    tensors = unflatten(layout, update)
    weight = tensors[layer.weight].astype(np.float64)
    bias = tensors[layer.bias].astype(np.float64)
    silent = bias == 0
    quotient = weight / np.where(silent, 1.0, bias)[:, None]
    quotient[silent] = 0.0
    return np.asarray(quotient)


def best_match(recovered: Floats, records: NDArray[np.float32]) -> float:
    """Returns the largest cosine between a recovered record and a true one.

    >>> best_match(np.array([[0.0, 2.0]]), np.array([[1, 0], [0, 1]], dtype=np.float32))
    1.0
    """
    found, true = _units(recovered), _units(records.astype(np.float64))
    return float(min(1.0, (found @ true.T).max(initial=-1.0)))


def _units(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))
