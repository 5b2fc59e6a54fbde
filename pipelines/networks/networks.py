"""Networks: MONAI architectures, built ready for per-patient gradients.

Rules:

1. As many numbers come out as the task says. No layer works in place: per-patient
   gradients would be wrong. What else makes them wrong is found when a hospital joins
   (``engine_choice``, ``opacus_check``).
2. Initial parameters are a function of the study's seed (zeros for logistic
   regression), or the pretrained ones that the study names, but for the output's bias, which
   the task may set. Building a network leaves torch's global generator as it was.
3. Parameters are what is trained, adapters among them. A frozen layer's are buffers.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.networks.adapters import adapt, told
from pipelines.networks.architecture import RecordShape, SummedOutputs, misfit
from pipelines.networks.registry import architecture_of
from pipelines.networks.repairs import repaired
from pipelines.recipes.loading import recipe_failures
from pipelines.tasks.registry import task_of
from protocol.counted import counted
from protocol.errors import MessageRefused, StudyRefused
from protocol.study.cohort.cohort import Cohort, joined_form
from protocol.study.strategies.sent_slots import without_slots
from protocol.study.study import Study
from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.pretrained import Pretrained
from protocol.study.task.task import Task
from protocol.vectors.adaptive_clip import without_clip
from protocol.vectors.tensors import is_in

#: As many as ``protocol.vectors.tensors`` reads.
_MAX_PARAMETERS = 10**8
#: As many a network of a table has at most that is tried on the processor.
_MAX_TRIED = 10**6
#: Faults of one file or list that are told.
_MAX_FAULTS = 4
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]+")
#: What MONAI and torch raise where settings and records do not fit.
_UNFIT = (ValueError, RuntimeError, TypeError, AssertionError, IndexError)


def build(task: Task, cohort: Cohort, seed: int) -> nn.Module:
    r"""Returns the study's network with its initial parameters.

    The module maps (records, width), (records, 1, \*shape) or, of images with columns,
    (records, pixels + width) float32 to (records, outputs of the task). Guarantee: equal
    arguments give equal parameters.

    Raises:
        StudyRefused: the network does not fit the cohort's records, or the pretrained
            parameters, trained layers or adapters do not fit the network.
    """
    learned = task_of(task, cohort)
    size = _checked_size(task.network, cohort.input_forms, learned.outputs, task.gives)
    if size > _MAX_PARAMETERS:
        raise StudyRefused(
            f"task.network: {size} parameters, at most {_MAX_PARAMETERS} are allowed; use smaller "
            "layers"
        )
    with recipe_failures(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _made(task.network, cohort.input_forms, learned.outputs)
        if task.pretrained is not None:
            _start_from(module, task.pretrained)
        if learned.starting_bias is not None:
            _start_at(module, learned.starting_bias)
        adapted = [] if task.adapters is None else adapt(module, task.adapters)
    if task.is_partly_frozen:
        _freeze_others(module, (*task.trained_layers, *adapted))
    _check_names(module, task.network.target)
    return module


def require_own_layers(module: nn.Module, layers: Sequence[str]) -> None:
    """Refuses layers that are to stay with hospitals where they are none, or are all.

    Raises:
        StudyRefused: a layer has no parameters, or none is left to be learned together.
    """
    names = [name for name, _ in module.named_parameters()]
    _refuse(_unknown_layers("training.own_layers", names, layers))
    if layers and all(any(is_in(name, layer) for layer in layers) for name in names):
        raise StudyRefused(
            "training.own_layers: these are all layers of the network: nothing is left to be "
            "learned together"
        )


def _unknown_layers(key: str, names: Sequence[str], layers: Sequence[str]) -> list[str]:
    """Returns a fault for each layer that no parameter belongs to."""
    wrong = [layer for layer in layers if not any(is_in(name, layer) for name in names)]
    there = told(name.rpartition(".")[0] for name in names)
    return [f"{key}: no layer {layer!r} has parameters; there are {there}" for layer in wrong]


def _check_names(module: nn.Module, target: str) -> None:
    """Refuses names of parameters but plain ones: a model's vector is laid out by their order."""
    for name, _ in module.named_parameters():
        if not _PLAIN_NAME.fullmatch(name):
            raise StudyRefused(
                f"task.network: {target}: a parameter's name has other than ASCII letters, digits, "
                f"'_' and '.': {name!r:.80}; rename the layer"
            )


def num_parameters(study: Study) -> int:
    """Returns how many parameters of a study's network are trained."""
    module = build(study.task, study.cohort, study.seeds.model)
    return sum(parameter.numel() for parameter in module.parameters())


def require_layers(task: Task, cohort: Cohort, kept: Sequence[str] = ()) -> None:
    """Builds the network of a study that names layers or parameters, and drops it.

    Raises:
        StudyRefused: they are not this network's.
    """
    if task.names_layers or kept:
        require_own_layers(build(task, cohort, seed=0), kept)


def _made(network: NetworkSettings, shapes: Sequence[RecordShape], outputs: int) -> nn.Module:
    """Returns a network that takes records of these inputs, one shape for each of its parts."""
    module, *others = [
        _part(part, shape, outputs) for part, shape in zip(network.parts, shapes, strict=True)
    ]
    for other in others:
        module = SummedOutputs(module, other, shapes[0])
    return repaired(module)


def _part(network: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    made = architecture_of(network).build(network, shape, outputs)
    if not isinstance(made, nn.Module):
        raise StudyRefused(f"task.network: {network.target}: its build gave no torch module")
    return made


@lru_cache(maxsize=64)  # a run builds its network several times
def _checked_size(
    network: NetworkSettings, shapes: tuple[RecordShape, ...], outputs: int, gives: str
) -> int:
    """Returns how many parameters a network has, sketched on torch's meta device.

    A giant is refused before it takes memory. A small network of a table is tried on the processor:
    the first linear layer on the meta device imports torch's compiler, in each hospital's process.

    Raises:
        StudyRefused: it does not take records of these inputs, or gives others than it must.
    """
    shape = joined_form(shapes)
    try:
        expected = (2, outputs, *(shape[1:] if gives == "masks" else ()))
        with recipe_failures():
            with torch.device("meta"):
                sketch = _made(network, shapes, outputs)
            size = sum(parameter.numel() for parameter in sketch.parameters())
            if len(shape) == 1 and size <= _MAX_TRIED:
                with torch.random.fork_rng(devices=[]):
                    sketch = _made(network, shapes, outputs)
                    given = torch.zeros(2, *shape)
                    found = tuple(sketch.train()(given).shape)
            else:
                found = tuple(sketch.train()(torch.empty(2, *shape, device="meta")).shape)
    except _UNFIT as error:
        raise StudyRefused(misfit(network, shape, error)) from error
    if found != expected:
        raise StudyRefused(
            f"task.network: {network.target}: gives {found[1:]} for a record of {shape}, expected "
            f"{expected[1:]}: choose sides that its strides divide"
        )
    return size


def _start_from(module: nn.Module, pretrained: Pretrained) -> None:
    """Overwrites the parameters that a file names; the others stay as the seed gave them."""
    own, faults = dict(module.named_parameters()), []
    for name, tensor in sorted(pretrained.tensors.items()):
        if name not in own:
            faults.append(
                f"task.pretrained: {pretrained.file} holds {name!r}, which the network has not: "
                f"leave it out (the network has {len(own)} parameters, {next(iter(own))!r} first)"
            )
        elif own[name].shape != tensor.shape:
            faults.append(
                f"task.pretrained: {pretrained.file}: {name!r} has shape {tuple(tensor.shape)}, "
                f"the network's has {tuple(own[name].shape)}"
            )
    _refuse(faults)
    with torch.no_grad():
        for name, tensor in pretrained.tensors.items():
            own[name].copy_(torch.from_numpy(np.array(tensor)))


def _refuse(faults: Sequence[str]) -> None:
    """Refuses what does not fit, if anything does not: a line for each of up to four faults."""
    if faults:
        more = len(faults) - _MAX_FAULTS
        rest = [f"and {counted(more, 'more fault')}"] if more > 0 else []
        raise StudyRefused("\n".join([*faults[:_MAX_FAULTS], *rest]))


def _freeze_others(module: nn.Module, trained: Sequence[str]) -> None:
    """Makes buffers of all parameters but those of some layers: part of the network, not learned.

    Nothing that goes by parameters sees them then: engines, clipping, noise, and the wire.
    """
    names = [name for name, _ in module.named_parameters()]
    _refuse(_unknown_layers("task.trained_layers", names, trained))
    for name in names:
        if not any(is_in(name, layer) for layer in trained):
            place, _, short = name.rpartition(".")
            owner = module.get_submodule(place)
            frozen = getattr(owner, short).detach()
            delattr(owner, short)
            owner.register_buffer(short, frozen)


def _start_at(module: nn.Module, bias: Sequence[float]) -> None:
    """Sets the bias of the last linear layer; of a sum, those of both, to add up to it."""
    parts = [module.table, module.image] if isinstance(module, SummedOutputs) else [module]
    for part, own in zip(parts, (bias, [0.0] * len(bias)), strict=False):
        layers = [layer for layer in part.modules() if isinstance(layer, nn.Linear)]
        if not layers or layers[-1].bias is None or layers[-1].bias.numel() != len(bias):
            raise StudyRefused(
                "task.network: the network ends in no linear layer with a bias for each output, "
                "to start from what the study declares: leave task.prevalence out"
            )
        with torch.no_grad():
            layers[-1].bias.copy_(torch.tensor(own))


def parameters_of(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Returns a copy of the named parameters, for ``protocol.vectors.tensors``."""
    return {
        name: parameter.detach().cpu().numpy().astype("<f4", copy=True)
        for name, parameter in module.named_parameters()
    }


def load_parameters(module: nn.Module, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Overwrites the module's parameters; names and shapes must be exactly its own.

    What travels with a model, a clip or a server's slots, is left out.

    Raises:
        MessageRefused: another layout; the module is left as it was.
    """
    own, tensors = dict(module.named_parameters()), without_clip(without_slots(tensors))
    if sorted(own) != sorted(tensors):
        odd = sorted(set(own) ^ set(tensors))
        raise MessageRefused(f"not this network's parameters: {odd[0]!r} is missing or unknown")
    for name, parameter in own.items():
        if tuple(parameter.shape) != tuple(tensors[name].shape):
            raise MessageRefused(
                f"parameter {name!r} has shape {tuple(tensors[name].shape)}, "
                f"expected {tuple(parameter.shape)}"
            )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(torch.from_numpy(np.array(tensors[name], dtype=np.float32)))


class OnLine(nn.Module):
    """A network whose outputs, logits, are moved onto a rising line: none changes places."""

    def __init__(self, module: nn.Module, *, intercept: float, slope: float) -> None:
        super().__init__()
        self.module, self._intercept, self._slope = module, intercept, slope

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        """Returns intercept + slope x the network's output, of the same shape."""
        outputs: torch.Tensor = self.module(records)
        return self._intercept + self._slope * outputs
