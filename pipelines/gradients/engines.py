"""Engines that compute per-patient gradients of one network.

An engine works on a replica of the network that shares its numbers (``whole_blocks``):
hooks and gradients stay on the replica, which is made once. What is loaded into the
network's parameters later is what the engine computes with. Which engine a network
gets is decided in ``engine_choice``.

The loss is the task's (``pipelines.tasks``): engines start from its gradient at the
network's outputs.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.gradients.clipping import PatientGradients
from pipelines.gradients.layer_rules import LAYERS, split_patients
from pipelines.gradients.whole_blocks import pad_columns, padded, replica_of

#: From (records, outputs) outputs, (records, ...) labels and (records,) weights to the weighted
#: loss's gradient at the outputs: ``TaskDefinition.errors``.
Errors: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


class _Columns:
    """The places of a layer's parameters in a row."""

    def __init__(self, owned: Mapping[str, nn.Parameter], starts: Mapping[int, int]) -> None:
        self._places = [
            (name, starts[id(p)], tuple(p.shape), p.stride()) for name, p in owned.items()
        ]

    def into(self, rows: Tensor) -> dict[str, Tensor]:
        """Returns the layer's part of (patients, parameters) rows, in the layer's own shapes."""
        return {
            name: rows.as_strided((len(rows), *shape), (rows.shape[1], *strides), start)
            for name, start, shape, strides in self._places
        }


def _columns_of(replica: nn.Module) -> tuple[list[tuple[nn.Module, _Columns]], int]:
    """Returns every layer with parameters of its own, and how long a row is."""
    starts, size = {}, 0
    for _, parameter in sorted(replica.named_parameters()):
        starts[id(parameter)] = size
        size += parameter.numel()
    layers = [m for m in replica.modules() if next(m.parameters(recurse=False), None) is not None]
    owned = [dict(layer.named_parameters(recurse=False)) for layer in layers]
    if sum(len(own) for own in owned) != len(starts):
        raise NotImplementedError("two layers share their parameters")
    if any(not p.is_contiguous() for own in owned for p in own.values()):
        raise NotImplementedError("parameters out of order in memory")
    return [(m, _Columns(own, starts)) for m, own in zip(layers, owned, strict=True)], size


class ChainGradients:
    """Linear layers and simple activations in a row: forward and backward by hand, no autograd.

    Raises:
        NotImplementedError: the network is no such chain.
    """

    def __init__(self, module: nn.Module, errors: Errors) -> None:
        self._errors = errors
        replica = replica_of(module).train()
        layers, self._size = _columns_of(replica)
        columns = dict(layers)
        self._chain: list[_ChainLink] = []
        for layer in replica.modules():
            if isinstance(layer, nn.Linear) and layer.bias is not None and layer in columns:
                self._chain.append(_ChainLink(layer, columns[layer]))
            elif type(layer) in (nn.ReLU, nn.Tanh) and self._chain and not self._chain[-1].after:
                self._chain[-1].after = layer
            elif not isinstance(layer, nn.Sequential | nn.Flatten):
                raise NotImplementedError(f"{type(layer).__name__} in a chain of linear layers")
        self._outputs = self._chain[-1].outputs

    def __call__(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns (patients, parameters); see ``PatientGradients``."""
        patients, records = labels.shape[:2]
        whole = features.new_empty(patients, self._size)
        with torch.no_grad():
            values = [pad_columns(features.reshape(patients * records, -1))]
            for link in self._chain:
                values.append(link.forward(values[-1]))
            outputs = values.pop()[:, : self._outputs]
            left = features.new_zeros(len(outputs), padded(self._outputs))
            left[:, : self._outputs] = self._errors(
                outputs, labels.flatten(0, 1), weights.flatten()
            )
            for place in reversed(range(len(self._chain))):
                link = self._chain[place]
                link.gradients(values[place], left, link.columns.into(whole))
                if place:
                    before = self._chain[place - 1].after
                    left = _before(before, values[place], left @ link.weight)
        return whole


class _ChainLink:
    """One linear layer of a chain, padded to whole blocks, and the activation after it."""

    def __init__(self, layer: nn.Linear, columns: _Columns) -> None:
        self._layer, self.columns, self.after = layer, columns, None
        self.outputs, places = layer.out_features, padded(layer.out_features)
        self.weight = layer.weight.new_zeros(places, padded(layer.in_features))
        self._bias = layer.weight.new_zeros(places)

    after: nn.Module | None

    def forward(self, entered: Tensor) -> Tensor:
        """Returns what leaves the activation, with zeros behind; takes in the layer's numbers."""
        layer = self._layer
        self.weight[: layer.out_features, : layer.in_features] = layer.weight
        self._bias[: layer.out_features] = layer.bias
        left = torch.addmm(self._bias, entered, self.weight.t())
        return self.after(left) if self.after else left

    def gradients(self, entered: Tensor, left: Tensor, into: Mapping[str, Tensor]) -> None:
        """Writes each patient's gradient of the layer's weight and bias."""
        out, patients = self._layer.out_features, into["weight"].shape[0]
        left, entered = split_patients(left, patients), split_patients(entered, patients)
        if left.shape[1] == 1:
            columns = entered[:, :, : self._layer.in_features]
            torch.mul(left[:, 0, :out, None], columns, out=into["weight"])
            into["bias"].copy_(left[:, 0, :out])
        else:
            products = torch.bmm(left.transpose(1, 2), entered)
            into["weight"].copy_(products[:, :out, : self._layer.in_features])
            into["bias"].copy_(left.sum(dim=1)[:, :out])


def _before(activation: nn.Module | None, left: Tensor, gradient: Tensor) -> Tensor:
    """Returns the gradient at what entered an activation, from what left it."""
    if isinstance(activation, nn.ReLU):
        gradient = torch.ops.aten.threshold_backward(gradient, left, 0)
    if isinstance(activation, nn.Tanh):
        gradient = torch.ops.aten.tanh_backward(gradient, left)
    return gradient


class LayerGradients:
    """Gradients from the input of every layer and the gradient at its output: one product a layer.

    For networks whose parameters all belong to layers of ``LAYERS``, each used once.

    Raises:
        NotImplementedError: the network has another layer, or uses one twice.
    """

    def __init__(self, module: nn.Module, errors: Errors) -> None:
        self._errors = errors
        self._replica = replica_of(module).train()
        layers, self._size = _columns_of(self._replica)
        self._columns = [columns for _, columns in layers]
        self._seen: list[tuple[int, nn.Module, Tensor, Tensor]] = []
        for number, (layer, _) in enumerate(layers):
            if type(layer) not in LAYERS:
                raise NotImplementedError(f"a layer of type {type(layer).__name__}")
            if any(True for _ in layer.buffers(recurse=False)):
                raise NotImplementedError("a layer of which a part is frozen")
            layer.requires_grad_(False)  # no gradient of the whole batch
            if isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
                layer.forward = partial(_one_slope, layer)  # type: ignore[method-assign]
            layer.register_forward_hook(self._keeper(number))

    def _keeper(self, number: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(layer: nn.Module, entered: tuple[Tensor, ...], left: Tensor) -> None:
            if not left.requires_grad:
                left.requires_grad_()
            self._seen.append((number, layer, entered[0].detach(), left))

        return keep

    def __call__(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns (patients, parameters); see ``PatientGradients``."""
        whole = features.new_empty(len(labels), self._size)
        try:
            with torch.enable_grad():
                outputs = self._replica(features.flatten(0, 1))
            if sorted(number for number, *_ in self._seen) != list(range(len(self._columns))):
                raise NotImplementedError("a layer is used twice, or not at all")
            errors = self._errors(outputs.detach(), labels.flatten(0, 1), weights.flatten())
            found = torch.autograd.grad(outputs, [left for *_, left in self._seen], errors)
            with torch.no_grad():
                for (number, layer, entered, _), left in zip(self._seen, found, strict=True):
                    into = self._columns[number].into(whole)
                    LAYERS[type(layer)](layer, entered, left, into)
        finally:
            self._seen.clear()
        return whole


def _one_slope(layer: nn.PReLU, entered: Tensor) -> Tensor:
    """Computes PReLU with one slope, without torch's slow backward for the slope."""
    return functional.leaky_relu(entered, layer.weight.item())


class VmapGradients:
    """One row of ``torch.func.vmap`` for each patient, with the patient's records stacked.

    For networks that are no chain and have layers that ``LAYERS`` does not know.
    """

    def __init__(self, module: nn.Module, errors: Errors) -> None:
        replica = replica_of(module).train()

        def gradients(
            parameters: dict[str, Tensor], features: Tensor, labels: Tensor, weights: Tensor
        ) -> dict[str, Tensor]:
            def outputs(parameters: dict[str, Tensor]) -> Tensor:
                found: Tensor = torch.func.functional_call(replica, parameters, (features,))
                return found

            found, backward = torch.func.vjp(outputs, parameters)[:2]
            (given,) = backward(errors(found, labels, weights))
            return dict(given)

        self._parameters = {name: p.detach() for name, p in sorted(replica.named_parameters())}
        self._gradients = torch.func.vmap(gradients, in_dims=(None, 0, 0, 0))

    def __call__(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns (patients, parameters); see ``PatientGradients``."""
        found = self._gradients(self._parameters, features, labels, weights)
        return torch.cat([found[name].flatten(1) for name in self._parameters], dim=1)


class _WholeBackward:
    """One plain backward of a batch, on a replica of the network."""

    def __init__(self, module: nn.Module, errors: Errors) -> None:
        self._errors = errors
        self._replica = replica_of(module).train()
        self._owned = [parameter for _, parameter in sorted(self._replica.named_parameters())]

    def __call__(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns (parameters,): the gradient of (records, ...) records' weighted losses."""
        with torch.enable_grad():
            outputs = self._replica(features)
        errors = self._errors(outputs.detach(), labels, weights)
        parts = torch.autograd.grad(outputs, self._owned, errors)
        return torch.cat([part.reshape(-1) for part in parts])


class OneAtATime:
    """One plain backward for every patient, in calls of one form: slow, and always independent."""

    def __init__(self, module: nn.Module, errors: Errors) -> None:
        self._backward = _WholeBackward(module, errors)

    def __call__(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns (patients, parameters); see ``PatientGradients``."""
        each = zip(features, labels, weights, strict=True)
        return torch.stack([self._backward(*own) for own in each])


class SummedGradient:
    """The sum of a micro-batch's gradients by one backward: where no patient's is clipped."""

    def __init__(self, module: nn.Module, errors: Errors) -> None:
        self._device = next(module.parameters()).device
        self._backward = _WholeBackward(module, errors)

    def __call__(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns (parameters,), of the same arguments as an engine."""
        records = (features.flatten(0, 1), labels.flatten(0, 1), weights.flatten())
        return self._backward(*(each.to(self._device) for each in records))


MakeEngine: TypeAlias = Callable[[nn.Module, Errors], PatientGradients]

#: Every engine by its name; the last one is always right.
ENGINES: Mapping[str, MakeEngine] = {
    "chain": ChainGradients,
    "layers": LayerGradients,
    "vmap": VmapGradients,
    "one at a time": OneAtATime,
}
