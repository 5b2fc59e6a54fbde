"""Engines that compute per-patient gradients, and the choice of one that is right.

Rules:

1. A network names its engine in ``ENGINE_OF``; no stop-watch decides anything,
   so that a study gives the same bits again (docs/adr/0006).
2. Before an engine is used, its gradients for this very network are compared with
   one backward per record. A wrong engine is skipped, the next one is taken.
3. A network whose records cannot be told apart even so is refused by name: it
   draws random numbers, remembers or mixes records, or has parameters that the
   loss does not reach.

An engine works on a twin of the network that shares its numbers: hooks and
gradients stay on the twin, and it is attached once, not at every call.
"""

import copy
import logging
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipelines.gradients import PatientGradients
from pipelines.layer_gradients import LAYERS, linear, split_patients
from pipelines.records import number_patients
from protocol.errors import StudyRefused
from protocol.task import ConvClassifier, DenseNet121, FullyConnected, Network

log = logging.getLogger("collegium.silo")

#: Largest difference from one backward per record, as a part of the gradient's norm.
TOLERANCE = 1e-3
#: The same for a computation that is merely repeated.
_REPEATED = 1e-5
#: Four records are drawn for the comparison: of four patients, and of two with two records each.
_OWNERS = (torch.tensor([0, 1, 2, 3]), torch.tensor([0, 0, 1, 1]))
#: How an engine says that it cannot do a network.
_CANNOT = (RuntimeError, ValueError, TypeError, AttributeError, IndexError)


class _Attached:
    """A twin of the module in training mode, made again only when the module is another one."""

    def __init__(self, attach: Callable[[nn.Module], None] = lambda twin: None) -> None:
        self._attach = attach
        self._module: nn.Module | None = None
        self._owned: list[tuple[nn.Module, str]] = []
        self._addresses: list[int] = []

    def twin(self, module: nn.Module) -> nn.Module:
        """Returns the twin, whose parameters share their memory with the module's."""
        if module is not self._module or self._addresses != self._now():
            shared = {id(p): nn.Parameter(p.detach()) for p in module.parameters()}
            self._module = None
            self._twin = copy.deepcopy(module, shared).train()
            self._attach(self._twin)
            self._owned = [
                (layer, name)
                for layer in module.modules()
                for name, _ in layer.named_parameters(recurse=False)
            ]
            self._module, self._addresses = module, self._now()
        return self._twin

    def _now(self) -> list[int]:
        return [getattr(layer, name).data_ptr() for layer, name in self._owned]


class _Columns:
    """Where a layer's parameters stand in a row."""

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


def _columns_of(twin: nn.Module) -> tuple[list[tuple[nn.Module, _Columns]], int]:
    """Returns every layer with parameters of its own, and how long a row is."""
    starts, size = {}, 0
    for _, parameter in sorted(twin.named_parameters()):
        starts[id(parameter)] = size
        size += parameter.numel()
    layers = [m for m in twin.modules() if next(m.parameters(recurse=False), None) is not None]
    owned = [dict(layer.named_parameters(recurse=False)) for layer in layers]
    if sum(len(own) for own in owned) != len(starts):
        raise NotImplementedError("two layers share their parameters")
    if any(not p.is_contiguous() for own in owned for p in own.values()):
        raise NotImplementedError("parameters out of order in memory")
    return [(m, _Columns(own, starts)) for m, own in zip(layers, owned, strict=True)], size


class ChainGradients:
    """Linear layers and simple activations in a row: forward and backward by hand, no autograd."""

    def __init__(self) -> None:
        self._attached = _Attached(self._read)
        self._chain: list[tuple[nn.Linear, _Columns, nn.Module | None]] = []
        self._size = 0

    def __call__(
        self, module: nn.Module, features: Tensor, labels: Tensor, patients_in_batch: Tensor
    ) -> NDArray[np.float32]:
        """Returns (patients, parameters) mean gradients; see ``PatientGradients``."""
        return _by_equal_counts(self._rows, module, features, labels, patients_in_batch)

    def _read(self, twin: nn.Module) -> None:
        layers, self._size = _columns_of(twin)
        columns = dict(layers)
        self._chain = []
        for layer in twin.modules():
            if isinstance(layer, nn.Linear) and layer.bias is not None:
                self._chain.append((layer, columns[layer], None))
            elif type(layer) in (nn.ReLU, nn.Tanh) and self._chain and not self._chain[-1][2]:
                self._chain[-1] = (*self._chain[-1][:2], layer)
            elif not isinstance(layer, nn.Sequential | nn.Flatten):
                raise NotImplementedError(f"{type(layer).__name__} in a chain of linear layers")

    def _rows(
        self, module: nn.Module, features: Tensor, labels: Tensor, patients: int
    ) -> NDArray[np.float32]:
        self._attached.twin(module)
        rows = np.empty((patients, self._size), dtype=np.float32)
        whole = torch.from_numpy(rows)
        with torch.no_grad():
            values = [features.flatten(1)]
            for layer, _, activation in self._chain:
                left = torch.addmm(layer.bias, values[-1], layer.weight.t())
                values.append(activation(left) if activation else left)
            logits = values.pop()
            left = (logits.sigmoid_() - labels[:, None]) * (patients / len(labels))
            for place in reversed(range(len(self._chain))):
                layer, columns, _ = self._chain[place]
                linear(layer, values[place], left, columns.into(whole))
                if place:
                    left = _before(self._chain[place - 1][2], values[place], left @ layer.weight)
        return rows


def _before(activation: nn.Module | None, left: Tensor, gradient: Tensor) -> Tensor:
    """Returns the gradient at what entered an activation, from what left it."""
    if isinstance(activation, nn.ReLU):
        gradient = torch.ops.aten.threshold_backward(gradient, left, 0)
    if isinstance(activation, nn.Tanh):
        gradient = torch.ops.aten.tanh_backward(gradient, left)
    return gradient


class LayerGradients:
    """What enters every layer, and the gradient at what leaves it: one product a layer.

    For networks whose parameters all belong to layers of ``LAYERS``, each used once.
    """

    def __init__(self) -> None:
        self._attached = _Attached(self._hook)
        self._columns: list[_Columns] = []
        self._seen: list[tuple[int, nn.Module, Tensor, Tensor]] = []
        self._size = 0

    def __call__(
        self, module: nn.Module, features: Tensor, labels: Tensor, patients_in_batch: Tensor
    ) -> NDArray[np.float32]:
        """Returns (patients, parameters) mean gradients; see ``PatientGradients``."""
        return _by_equal_counts(self._rows, module, features, labels, patients_in_batch)

    def _hook(self, twin: nn.Module) -> None:
        layers, self._size = _columns_of(twin)
        self._columns = [columns for _, columns in layers]
        for number, (layer, _) in enumerate(layers):
            if type(layer) not in LAYERS:
                raise NotImplementedError(f"a layer of type {type(layer).__name__}")
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

    def _rows(
        self, module: nn.Module, features: Tensor, labels: Tensor, patients: int
    ) -> NDArray[np.float32]:
        twin = self._attached.twin(module)
        rows = np.empty((patients, self._size), dtype=np.float32)
        whole = torch.from_numpy(rows)
        try:
            with torch.enable_grad():
                loss = _loss(twin(features), labels) * (patients / len(labels))
            if sorted(number for number, *_ in self._seen) != list(range(len(self._columns))):
                raise NotImplementedError("a layer is used twice, or not at all")
            found = torch.autograd.grad(loss, [left for *_, left in self._seen])
            with torch.no_grad():
                for (number, layer, entered, _), left in zip(self._seen, found, strict=True):
                    into = self._columns[number].into(whole)
                    LAYERS[type(layer)](layer, entered, left, into)
        finally:
            self._seen.clear()
        return rows


def _one_slope(layer: nn.PReLU, entered: Tensor) -> Tensor:
    """PReLU with one slope; torch's own backward is slow: it works out the slope's gradient too."""
    return functional.leaky_relu(entered, layer.weight.item())


class VmapGradients:
    """One row of ``torch.func.vmap`` for each patient, with the patient's records stacked."""

    def __init__(self) -> None:
        self._attached = _Attached(self._compile)

    def __call__(
        self, module: nn.Module, features: Tensor, labels: Tensor, patients_in_batch: Tensor
    ) -> NDArray[np.float32]:
        """Returns (patients, parameters) mean gradients; see ``PatientGradients``."""
        return _by_equal_counts(self._rows, module, features, labels, patients_in_batch)

    def _compile(self, twin: nn.Module) -> None:
        def loss(parameters: dict[str, Tensor], features: Tensor, labels: Tensor) -> Tensor:
            logits = torch.func.functional_call(twin, parameters, (features,))
            return _loss(logits, labels) / len(labels)

        self._parameters = {name: p.detach() for name, p in sorted(twin.named_parameters())}
        self._gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def _rows(
        self, module: nn.Module, features: Tensor, labels: Tensor, patients: int
    ) -> NDArray[np.float32]:
        self._attached.twin(module)
        found = self._gradients(
            self._parameters,
            split_patients(features, patients),
            split_patients(labels, patients),
        )
        rows = torch.cat([found[name].flatten(1) for name in self._parameters], dim=1)
        return np.asarray(rows.numpy())


class OpacusGradients:
    """Per-record gradients by Opacus' hooks, one forward and backward for all records.

    Source: Yousefpour et al. 2021, arXiv 2109.12298; hooks of opacus 1.6.
    """

    def __init__(self) -> None:
        self._attached = _Attached(self._hook)

    def __call__(
        self, module: nn.Module, features: Tensor, labels: Tensor, patients_in_batch: Tensor
    ) -> NDArray[np.float32]:
        """Returns (patients, parameters) mean gradients; see ``PatientGradients``."""
        if not len(labels):
            return _no_rows(module)
        twin = self._attached.twin(module)
        owned = sorted(twin.named_parameters())
        try:
            with torch.enable_grad():
                torch.autograd.backward(_loss(twin(features.detach().requires_grad_()), labels))
            flat = torch.cat(
                [parameter.grad_sample.flatten(1) for _, parameter in owned],  # type: ignore[attr-defined]  # set by the hooks
                dim=1,
            )
        finally:
            for _, parameter in owned:
                parameter.grad = parameter.grad_sample = None  # type: ignore[attr-defined]
        return _mean_of_records(flat.detach().numpy(), patients_in_batch)

    def _hook(self, twin: nn.Module) -> None:
        from opacus.grad_sample import GradSampleModule  # seconds of import: only who needs it

        GradSampleModule(twin, loss_reduction="sum")


class OneAtATime:
    """One plain backward for every patient: slow, and right for whatever keeps records apart."""

    def __init__(self) -> None:
        self._attached = _Attached()

    def __call__(
        self, module: nn.Module, features: Tensor, labels: Tensor, patients_in_batch: Tensor
    ) -> NDArray[np.float32]:
        """Returns (patients, parameters) mean gradients; see ``PatientGradients``."""
        if not len(labels):
            return _no_rows(module)
        twin = self._attached.twin(module)
        places, patients = number_patients(patients_in_batch.numpy())
        own = [torch.from_numpy(np.flatnonzero(places == n)) for n in range(len(patients))]
        return np.stack([_backward(twin, features[at], labels[at]) for at in own])


def _backward(module: nn.Module, features: Tensor, labels: Tensor) -> NDArray[np.float32]:
    """Returns the (parameters,) mean gradient over these records."""
    with torch.enable_grad():
        loss = _loss(module(features), labels) / len(labels)
        parts = torch.autograd.grad(loss, [p for _, p in sorted(module.named_parameters())])
    return np.asarray(torch.cat([part.reshape(-1) for part in parts]).numpy())


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.reshape(-1), labels, reduction="sum")


def _no_rows(module: nn.Module) -> NDArray[np.float32]:
    return np.zeros((0, sum(p.numel() for p in module.parameters())), dtype=np.float32)


def _mean_of_records(rows: NDArray[np.float32], patients_in_batch: Tensor) -> NDArray[np.float32]:
    """Returns each patient's mean of (records, parameters) gradients, by first appearance."""
    places, patients = number_patients(patients_in_batch.numpy())
    if len(patients) == len(places):
        return rows
    index = torch.from_numpy(places)
    total = torch.zeros(len(patients), rows.shape[1]).index_add_(0, index, torch.from_numpy(rows))
    return np.asarray((total / torch.bincount(index)[:, None]).numpy())


def _by_equal_counts(
    rows: Callable[[nn.Module, Tensor, Tensor, int], NDArray[np.float32]],
    module: nn.Module,
    features: Tensor,
    labels: Tensor,
    patients_in_batch: Tensor,
) -> NDArray[np.float32]:
    """Returns rows of whole patients where all have equally many records in turn, else means."""
    owners = patients_in_batch.numpy()
    if not len(owners):
        return _no_rows(module)
    steps = owners[1:] - owners[:-1]
    if (steps > 0).all():
        return rows(module, features, labels, len(owners))
    if (steps >= 0).all():
        ends = np.flatnonzero(steps)
        count, odd = divmod(len(owners), len(ends) + 1)
        if not odd and ((ends + 1) % count == 0).all():
            return rows(module, features, labels, len(ends) + 1)
    return _mean_of_records(rows(module, features, labels, len(owners)), patients_in_batch)


#: Every engine by the name under which a network asks for it; the last one is always right.
ENGINES: Mapping[str, Callable[[], PatientGradients]] = {
    "chain": ChainGradients,
    "layers": LayerGradients,
    "vmap": VmapGradients,
    "opacus": OpacusGradients,
    "one at a time": OneAtATime,
}

#: The engine that a network asks for: the fastest in ``tests.bench``.
ENGINE_OF: Mapping[type[Network], str] = {
    FullyConnected: "chain",
    ConvClassifier: "layers",
    DenseNet121: "layers",
}


def engine_for(network: Network, module: nn.Module, form: tuple[int, ...]) -> PatientGradients:
    """Returns the engine of this network, or the next one that is right; see ``right_engine``."""
    return right_engine(module, form, ENGINE_OF[type(network)])


def right_engine(module: nn.Module, form: tuple[int, ...], first: str) -> PatientGradients:
    """Returns the first engine, ``first`` before all, that agrees with one backward per record.

    Args:
        module: maps (records, ...) to (records, 1) logits; it is left as it was.
        form: the form of one record's features.
        first: a name of ``ENGINES``.

    Guarantee: on records drawn from a fixed seed each patient's gradient is
    within ``TOLERANCE`` of the mean of its records' own, relative to its norm.

    Raises:
        StudyRefused: the network keeps no engine's records apart.
    """
    generator = np.random.default_rng(0)
    drawn, count = _moved(module, generator), len(_OWNERS[0])
    features = torch.from_numpy(generator.normal(size=(count, *form)).astype(np.float32))
    labels = torch.from_numpy((generator.random(count) < 0.5).astype(np.float32))
    records = _one_backward_per_record(drawn, features, labels)
    for name in (first, *(name for name in ENGINES if name != first)):
        engine, apart = ENGINES[name](), 0.0
        try:
            for owners in _OWNERS:
                expected = _mean_of_records(records, owners)
                found = engine(drawn, features, labels, owners)
                apart = max(apart, _difference(found, expected))
        except _CANNOT as error:
            log.info("gradients by %r are skipped: %s", name, type(error).__name__)
            continue
        if apart <= TOLERANCE:
            log.info("gradients by %r, within %.1e of one backward per record", name, apart)
            return ENGINES[name]()
        log.warning("gradients by %r are wrong by %.1e and so skipped", name, apart)
    raise StudyRefused("task.network: the records of one batch change each other's gradients")


def _moved(module: nn.Module, generator: np.random.Generator) -> nn.Module:
    """Returns a copy in training mode, off its start: zeros there would hide mistakes."""
    drawn = copy.deepcopy(module).train()
    with torch.no_grad():
        for parameter in drawn.parameters():
            noise = generator.normal(scale=0.02, size=tuple(parameter.shape))
            parameter.add_(torch.from_numpy(noise.astype(np.float32)))
    return drawn


def _one_backward_per_record(
    module: nn.Module, features: Tensor, labels: Tensor
) -> NDArray[np.float32]:
    """Returns (records, parameters): the oracle; refuses a network that has none."""
    _check_all_reached(module, features[:1], labels[:1])

    def record(place: int) -> NDArray[np.float32]:
        at = slice(place, place + 1)
        return _backward(module, features[at], labels[at])

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows = np.stack([record(place) for place in range(len(labels))])
        again = record(0)[None]
    if not _difference(again, rows[:1]) <= _REPEATED:
        raise StudyRefused(
            f"task.network: {_changing(module, features)} draws random numbers in training, or "
            "remembers records: a record's gradient is not the same twice"
        )
    return rows


def _check_all_reached(module: nn.Module, features: Tensor, labels: Tensor) -> None:
    owned = sorted(module.named_parameters())
    for name, parameter in owned:
        if not parameter.requires_grad:
            raise StudyRefused(f"task.network: parameter {name!r} is frozen")
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            loss = _loss(module(features), labels)
            found = torch.autograd.grad(loss, [p for _, p in owned], allow_unused=True)
    except _CANNOT as error:
        raise StudyRefused(
            f"task.network: no gradient of one record alone: {type(error).__name__}"
        ) from error
    for (name, _), gradient in zip(owned, found, strict=True):
        if gradient is None:
            raise StudyRefused(f"task.network: the loss does not reach parameter {name!r}")


def _changing(module: nn.Module, features: Tensor) -> str:
    """Returns which layer is the first to answer otherwise when asked the same again."""
    heard: list[tuple[str, Tensor]] = []

    def listener(name: str) -> Callable[[nn.Module, object, object], None]:
        def listen(layer: nn.Module, entered: object, left: object) -> None:
            if isinstance(left, Tensor):
                heard.append((name, left.detach().clone()))

        return listen

    hooks = [m.register_forward_hook(listener(name)) for name, m in module.named_modules()]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for row in (features[:1], features[1:2], features[:1]):
            module(row)
    for hook in hooks:
        hook.remove()
    each = len(heard) // 3
    for (name, before), (_, after) in zip(heard[:each], heard[2 * each :], strict=True):
        if not torch.equal(before, after):
            return f"layer {name!r}" if name else "it"
    return "it"


def _difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Returns the largest distance of two rows as a part of the expected row's norm."""
    if found.shape != expected.shape:
        return float("inf")
    apart = found - expected
    squares = np.vecdot(apart, apart) / np.maximum(np.vecdot(expected, expected), 1e-24)
    worst = float(np.sqrt(squares.max()))
    return worst if worst == worst else float("inf")  # NaN is as wrong as can be
