"""The networks that a study may name, as MONAI builds them: one function and one line each.

The settings of each are its record in ``protocol.study.task.network``. MONAI takes seconds to
import and is imported when the first network is built.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import Cohort, ImageCohort, TableCohort
from protocol.study.task.network import ConvClassifier, DenseNet121, FullyConnected, Network

#: DenseNet121 halves an image five times.
_MIN_SIDE = 32


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network's builder, and the engine that computes its gradients.

    Attributes:
        build: of the study's record of the network, its cohort, and how many numbers come
            out for a record. Raises StudyRefused where the network does not fit the cohort.
        engine: the name of the fastest right engine (``pipelines.gradients.engines``), by
            ``python -m tests.bench``.
    """

    build: Callable[[Network, Cohort, int], nn.Module]
    engine: str


def _fully_connected(network: Network, cohort: Cohort, outputs: int) -> nn.Module:
    from monai.networks.nets.fullyconnectednet import FullyConnectedNet

    if not isinstance(network, FullyConnected) or not isinstance(cohort, TableCohort):
        raise StudyRefused("task.network: FullyConnectedNet needs a cohort of kind table")
    module = FullyConnectedNet(
        in_channels=cohort.width,
        out_channels=outputs,
        hidden_channels=network.hidden,
        act=network.activation,
    )
    if not network.hidden:
        # Logistic regression has one optimum and needs no random start; under noise a
        # random start would survive to the end as an error of its own.
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
    return module


def _classifier(network: Network, cohort: Cohort, outputs: int) -> nn.Module:
    from monai.networks.nets.classifier import Classifier

    if not isinstance(network, ConvClassifier) or not isinstance(cohort, ImageCohort):
        raise StudyRefused("task.network: Classifier needs a cohort of kind images")
    _check_sides(network, cohort.image.shape)
    return Classifier(
        in_shape=(1, *cohort.image.shape),
        classes=outputs,
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


def _densenet121(network: Network, cohort: Cohort, outputs: int) -> nn.Module:
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
        out_channels=outputs,
        act=("relu", {"inplace": False}),
        norm=("group", {"num_groups": network.groups}),
    )


#: Every network by the record that stands for it in a study.
ARCHITECTURES: dict[type[Network], Architecture] = {
    FullyConnected: Architecture(build=_fully_connected, engine="chain"),
    ConvClassifier: Architecture(build=_classifier, engine="layers"),
    DenseNet121: Architecture(build=_densenet121, engine="layers"),
}
