"""Gradients of single layers, for every patient of a micro-batch at once.

A layer's gradient for one patient follows from what entered the layer and from
the loss's gradient at what left it. Both are there anyway when a batch has gone
through a network, so no gradient of the whole batch is computed beside.

Every function takes the layer, ``entered`` and ``left``: (records, ...), the
same number of records for each patient, one patient after the other. It writes
into ``into``, a (patients, ...) tensor for each of the layer's parameters;
a patient's records are summed.

Source: Goodfellow 2015, arXiv 1510.01799; Rochette et al. 2019, arXiv 1912.06015.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from pipelines.gradients.whole_blocks import pad_columns

Into: TypeAlias = Mapping[str, Tensor]

#: Beyond so many weights a grouped convolution is slower than one for each patient (measured).
_MAX_GROUPED = 100_000
#: Most numbers copied out of images at once (256 MiB in float32), but at least one patient's.
_MAX_WINDOWS = 1 << 26


def linear(layer: nn.Linear, entered: Tensor, left: Tensor, into: Into) -> None:
    """Computes the outer products of output gradients and inputs."""
    patients = into["weight"].shape[0]
    left = left.reshape(patients, -1, layer.out_features)
    entered = entered.reshape(patients, -1, layer.in_features)
    if left.shape[1] == 1:
        torch.mul(left.transpose(1, 2), entered, out=into["weight"])
    else:  # in whole blocks, which start at the same place of a cache line for every patient
        products = torch.bmm(pad_columns(left).transpose(1, 2), pad_columns(entered))
        into["weight"].copy_(products[:, : layer.out_features, : layer.in_features])
    if layer.bias is not None:
        _sum_rows(left, into["bias"])


def convolution(layer: _ConvNd, entered: Tensor, left: Tensor, into: Into) -> None:
    """Computes products, one grouped convolution with every patient a group, or each patient's."""
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise NotImplementedError(f"padding {layer.padding_mode!r}, {layer.padding!r}")
    weights = into["weight"]
    patients = weights.shape[0]
    if _is_pointwise(layer):
        rows = _by_patient(left.flatten(2), patients)
        columns = _by_patient(entered.flatten(2), patients)
        _products(rows, columns.transpose(1, 2), weights.flatten(2))
    elif _wants_windows(layer, entered):
        _products_of_windows(layer, entered, left, weights)
    elif layer.weight.numel() <= _MAX_GROUPED:
        together = _convolution_weights(
            layer, _side_by_side(entered, patients), _side_by_side(left, patients), patients
        )
        weights.copy_(together.reshape(weights.shape))
    else:
        parts = zip(weights, entered.chunk(patients), left.chunk(patients), strict=True)
        for own, own_entered, own_left in parts:
            own.copy_(_convolution_weights(layer, own_entered, own_left, 1))
    if layer.bias is not None:
        _sum_records(left.flatten(2).sum(dim=2), into["bias"])


def _convolution_weights(layer: _ConvNd, entered: Tensor, left: Tensor, groups: int) -> Tensor:
    """Returns (groups x out, in, ...): the weights' gradient, summed over records."""
    shape = (groups * layer.weight.shape[0], *layer.weight.shape[1:])
    gradients: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        left, entered,
        layer.weight.new_empty(()).expand(shape),  # only its shape is looked at
        None, layer.stride, layer.padding, layer.dilation, isinstance(layer, _ConvTransposeNd),
        layer.output_padding, groups * layer.groups, (False, True, False),
    )  # fmt: skip
    return gradients[1]


def _products_of_windows(layer: _ConvNd, entered: Tensor, left: Tensor, into: Tensor) -> None:
    """Computes products of output gradients and the windows that the kernel covered (im2col).

    Args:
        layer: ungrouped, padded by zeros.
        entered, left: (records, channels, *sides), as every rule takes them.
        into: (patients, out, in, *kernel), contiguous; it is written to.

    Windows are copied out of so many patients' images at once as ``_MAX_WINDOWS`` allows.
    """
    patients, axes = into.shape[0], len(layer.kernel_size)
    rows, weights = _by_patient(left.flatten(2), patients), into.flatten(2)
    padding = cast(tuple[int, ...], layer.padding)  # words are refused above
    wide = functional.pad(entered, [side for side in reversed(padding) for _ in range(2)])
    windows = split_patients(wide, patients)
    for axis, size in enumerate(layer.kernel_size):
        reach = layer.dilation[axis] * (size - 1) + 1
        windows = windows.unfold(3 + axis, reach, layer.stride[axis])[..., :: layer.dilation[axis]]
    kernel, places = range(3 + axes, 3 + 2 * axes), range(3, 3 + axes)
    windows = windows.permute(0, 2, *kernel, 1, *places)  # patients, in, kernel, records, places
    at_once = max(1, _MAX_WINDOWS // max(1, windows[0].numel()))
    for start in range(0, patients, at_once):
        own = slice(start, start + at_once)
        columns = windows[own].flatten(2 + axes).flatten(1, 1 + axes)
        torch.bmm(rows[own], columns.transpose(1, 2), out=weights[own])


def _wants_windows(layer: _ConvNd, entered: Tensor) -> bool:
    """Returns whether products of windows were measured to be faster (docs/performance.md)."""
    return isinstance(layer, nn.Conv2d) and layer.groups == 1 and not entered.is_cpu


def _is_pointwise(layer: _ConvNd) -> bool:
    once = all(step == 1 for step in (*layer.kernel_size, *layer.stride, layer.groups))
    return once and not any(layer.padding) and not isinstance(layer, _ConvTransposeNd)


def normalisation(
    layer: nn.GroupNorm | nn.LayerNorm | nn.modules.instancenorm._InstanceNorm,
    entered: Tensor,
    left: Tensor,
    into: Into,
) -> None:
    """Computes the gradient at the output, times the normalised input."""
    if isinstance(layer, nn.GroupNorm):
        plain = functional.group_norm(entered, layer.num_groups, eps=layer.eps)
    elif isinstance(layer, nn.LayerNorm):
        plain = functional.layer_norm(entered, layer.normalized_shape, eps=layer.eps)
        plain, left = plain.movedim(-1, 1), left.movedim(-1, 1)
        if len(layer.normalized_shape) > 1:
            raise NotImplementedError("layer norm over several axes")
    else:
        plain = functional.instance_norm(entered, eps=layer.eps)
    plain, left = plain.flatten(2), left.flatten(2)
    _sum_records((plain * left).sum(dim=2), into["weight"])
    if layer.bias is not None:
        _sum_records(left.sum(dim=2), into["bias"])


def prelu(layer: nn.PReLU, entered: Tensor, left: Tensor, into: Into) -> None:
    """Computes the slopes' gradients; only inputs below zero count."""
    slopes = entered.clamp(max=0) * left
    if layer.num_parameters == 1:
        _sum_records(slopes.flatten(1).sum(dim=1, keepdim=True), into["weight"])
    else:
        _sum_records(slopes.flatten(2).sum(dim=2), into["weight"])


def split_patients(tensor: Tensor, patients: int) -> Tensor:
    """Returns (patients, records of each, ...) of (records, ...)."""
    return tensor.reshape((patients, -1, *tensor.shape[1:]))


def _products(rows: Tensor, columns: Tensor, into: Tensor) -> None:
    """Writes rows @ columns for every patient; with one column each it is an outer product."""
    if rows.shape[2] == 1:
        torch.mul(rows, columns, out=into)
    else:
        torch.bmm(rows, columns, out=into)


def _by_patient(tensor: Tensor, patients: int) -> Tensor:
    """Returns (patients, channels, records x places) of (records, channels, places)."""
    if tensor.shape[0] == patients:
        return tensor
    return split_patients(tensor, patients).transpose(1, 2).flatten(2)


def _side_by_side(tensor: Tensor, patients: int) -> Tensor:
    """Returns (records of each, patients x channels, ...) of (records, channels, ...)."""
    return split_patients(tensor, patients).transpose(0, 1).flatten(1, 2)


def _sum_records(tensor: Tensor, into: Tensor) -> None:
    _sum_rows(split_patients(tensor, into.shape[0]), into)


def _sum_rows(tensor: Tensor, into: Tensor) -> None:
    """Writes the sums over the second axis; one row is copied, which is faster."""
    if tensor.shape[1] == 1:
        into.copy_(tensor[:, 0])
    else:
        torch.sum(tensor, dim=1, out=into)


#: The table of layers: whose gradients can be had in this way.
LAYERS: Mapping[type[nn.Module], Callable[..., None]] = {
    nn.Linear: linear,
    nn.Conv2d: convolution,
    nn.Conv3d: convolution,
    nn.ConvTranspose2d: convolution,
    nn.ConvTranspose3d: convolution,
    nn.GroupNorm: normalisation,
    nn.LayerNorm: normalisation,
    nn.InstanceNorm2d: normalisation,
    nn.InstanceNorm3d: normalisation,
    nn.PReLU: prelu,
}
