"""Linear layers that compute every row alike, wherever it stands among the others.

A matrix library multiplies in blocks of a few rows and columns. What is left over
at the edges is added up by other code, in another order, so that the same row may
round differently when its place or the number of rows changes. Inputs and outputs
padded with zeros to whole blocks leave nothing over.
"""

import copy
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

#: Columns of a block: what AVX-512 holds in one register, twice what AVX2 does.
_BLOCK = 16


def padded(size: int) -> int:
    """Returns the next whole number of blocks.

    >>> padded(1), padded(16), padded(17)
    (16, 16, 32)
    """
    return -(-size // _BLOCK) * _BLOCK


def pad_columns(tensor: Tensor) -> Tensor:
    """Returns the tensor with zeros behind its last axis, up to a whole number of blocks.

    One that has a whole number already is not padded, which would copy it; it is copied only
    where it is not contiguous.
    """
    more = padded(tensor.shape[-1]) - tensor.shape[-1]
    return functional.pad(tensor, (0, more)) if more else tensor.contiguous()


def linear(layer: nn.Linear, entered: Tensor) -> Tensor:
    """Returns what the layer makes of (..., in_features), computed in whole blocks."""
    more = padded(layer.out_features) - layer.out_features
    weight = pad_columns(layer.weight)
    weight = functional.pad(weight, (0, 0, 0, more)) if more else weight
    left = functional.linear(pad_columns(entered), weight)[..., : layer.out_features]
    return left if layer.bias is None else left + layer.bias


def replica_of(module: nn.Module) -> nn.Module:
    """Returns a copy that shares the module's parameters, with linear layers in whole blocks.

    What is loaded into the module's parameters is in the copy as well. Hooks and
    gradients of the copy stay on it.
    """
    shared = {id(p): nn.Parameter(p.detach()) for p in module.parameters()}
    replica = copy.deepcopy(module, shared)
    for layer in replica.modules():
        if type(layer) is nn.Linear:
            layer.forward = partial(linear, layer)  # type: ignore[method-assign]
    return replica
