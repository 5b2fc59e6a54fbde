"""Networks: MONAI architectures, built ready for per-patient gradients.

Rules:

1. One logit comes out. No layer works in place: per-patient gradients would be wrong.
   What else makes them wrong is found when a hospital joins (``engine_choice``,
   ``opacus_check``).
2. Initial parameters are a function of the study's seed (zeros for logistic
   regression), but for the output's bias: it is the logit of the prevalence that the
   study declares. Building a network leaves torch's global generator as it was.
3. MONAI takes seconds to import and is imported when the first network is built.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from protocol.errors import MessageRefused, StudyRefused
from protocol.study.cohort import Cohort, ImageCohort, TableCohort
from protocol.study.task import ConvClassifier, DenseNet121, FullyConnected, Network, Task

#: As many as ``protocol.vectors.tensors`` reads.
_MAX_PARAMETERS = 10**8
#: DenseNet121 halves an image five times.
_MIN_SIDE = 32


def build(task: Task, cohort: Cohort, seed: int) -> nn.Module:
    r"""Returns the study's network with its initial parameters.

    The module maps (records, width) or (records, 1, \*shape) float32 to
    (records, 1) logits. Guarantee: equal arguments give equal parameters.

    Raises:
        StudyRefused: the network does not fit the cohort's records.
    """
    builder = BUILDERS[type(task.network)]
    with torch.device("meta"):  # sizes only, so that a giant is refused before it takes memory
        size = sum(parameter.numel() for parameter in builder(task.network, cohort).parameters())
    if size > _MAX_PARAMETERS:
        raise StudyRefused(
            f"task.network: {size} parameters, at most {_MAX_PARAMETERS} are allowed; use smaller "
            "layers"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = builder(task.network, cohort)
    for layer in module.modules():
        if getattr(layer, "inplace", False):
            layer.inplace = False  # type: ignore[assignment]
    if task.prevalence is not None:
        _start_at(module, task.prevalence)
    return module


def _start_at(module: nn.Module, prevalence: float) -> None:
    """Sets the bias of the last linear layer, so that a record that says nothing is as likely."""
    last = [part for part in module.modules() if isinstance(part, nn.Linear)][-1]
    nn.init.constant_(last.bias, math.log(prevalence / (1 - prevalence)))


def parameters_of(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Returns a copy of the named parameters, for ``protocol.vectors.tensors``."""
    return {
        name: parameter.detach().cpu().numpy().astype("<f4", copy=True)
        for name, parameter in module.named_parameters()
    }


def load_parameters(module: nn.Module, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Overwrites the module's parameters; names and shapes must be exactly its own.

    Raises:
        MessageRefused: another layout; the module is left as it was.
    """
    own = dict(module.named_parameters())
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


def _fully_connected(network: Network, cohort: Cohort) -> nn.Module:
    from monai.networks.nets.fullyconnectednet import FullyConnectedNet

    if not isinstance(network, FullyConnected) or not isinstance(cohort, TableCohort):
        raise StudyRefused("task.network: FullyConnectedNet needs a cohort of kind table")
    module = FullyConnectedNet(
        in_channels=cohort.width,
        out_channels=1,
        hidden_channels=network.hidden,
        act=network.activation,
    )
    if not network.hidden:
        # Logistic regression has one optimum and needs no random start; under noise a
        # random start would survive to the end as an error of its own.
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
    return module


def _classifier(network: Network, cohort: Cohort) -> nn.Module:
    from monai.networks.nets.classifier import Classifier

    if not isinstance(network, ConvClassifier) or not isinstance(cohort, ImageCohort):
        raise StudyRefused("task.network: Classifier needs a cohort of kind images")
    _check_sides(network, cohort.image.shape)
    return Classifier(
        in_shape=(1, *cohort.image.shape),
        classes=1,
        channels=network.channels,
        strides=network.strides,
        kernel_size=network.kernel_size,
        num_res_units=0,
        act="relu",
        norm="instance",
    )


def _check_sides(network: ConvClassifier, shape: tuple[int, ...]) -> None:
    if network.kernel_size % 2 == 0:
        raise StudyRefused(f"task.network.kernel_size: must be odd, got {network.kernel_size}")
    sides = shape
    for layer, stride in enumerate(network.strides, start=1):
        sides = tuple(-(-side // stride) for side in sides)
        area = int(np.prod(sides))
        if area < 2:  # instance norm over a single pixel is always zero
            raise StudyRefused(
                f"task.network.strides: after layer {layer} images of {shape} are down to one "
                "pixel; use fewer or smaller strides"
            )


def _densenet121(network: Network, cohort: Cohort) -> nn.Module:
    from monai.networks.nets.densenet import DenseNet121 as Architecture

    if not isinstance(network, DenseNet121) or not isinstance(cohort, ImageCohort):
        raise StudyRefused("task.network: DenseNet121 needs a cohort of kind images")
    shape = cohort.image.shape
    if min(shape) < _MIN_SIDE:
        raise StudyRefused(
            f"task.network: DenseNet121 needs images of {_MIN_SIDE} pixels a side or more, "
            f"got {shape}"
        )
    return Architecture(
        spatial_dims=len(shape),
        in_channels=1,
        out_channels=1,
        act=("relu", {"inplace": False}),
        norm=("group", {"num_groups": network.groups}),
    )


#: The table of networks: a study's record of one to the function that builds it.
BUILDERS: dict[type[Network], Callable[[Network, Cohort], nn.Module]] = {
    FullyConnected: _fully_connected,
    ConvClassifier: _classifier,
    DenseNet121: _densenet121,
}
