"""Networks that give a few numbers for a record, as MONAI builds them: a function and a line each.

MONAI takes seconds to import and is imported when the first network is built.
"""

from collections.abc import Mapping

import numpy as np
from torch import nn

from pipelines.networks.architecture import (
    Architecture,
    FirstOutput,
    RecordShape,
    image_sides,
)
from protocol.errors import StudyRefused
from protocol.study.task.networks.classifiers import (
    Classifier,
    DenseNet,
    EfficientNet,
    FullyConnectedNet,
    ResNet,
    ViT,
)
from protocol.study.task.networks.network import NetworkSettings

#: DenseNet and EfficientNet halve an image five times.
_MIN_SIDE = 32
#: A transformer compares each patch of an image with each.
_MOST_PATCHES = 4096


def _fully_connected(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's ``FullyConnectedNet``; without hidden layers it starts at zeros."""
    from monai.networks.nets.fullyconnectednet import FullyConnectedNet as Network

    if len(shape) > 1:
        raise StudyRefused("task.network: FullyConnectedNet needs a cohort of kind table")
    module = Network(in_channels=shape[0], out_channels=outputs, **settings.arguments())
    if not settings.arguments()["hidden_channels"]:
        # Logistic regression has one optimum and needs no random start; under noise a
        # random start would survive to the end as an error of its own.
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
    return module


def _classifier(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's ``Classifier`` or ``Regressor``."""
    from monai.networks.nets.classifier import Classifier as Network
    from monai.networks.nets.regressor import Regressor

    sides = image_sides(settings, shape)
    if isinstance(settings, Classifier):
        _check_sides(settings, sides)
    if settings.target == "Regressor":
        return Regressor(in_shape=(1, *sides), out_shape=(outputs,), **settings.arguments())
    return Network(in_shape=(1, *sides), classes=outputs, **settings.arguments())


def _check_sides(settings: Classifier, shape: tuple[int, ...]) -> None:
    sides = shape
    for layer, stride in enumerate(settings.strides, start=1):
        sides = tuple(-(-side // stride) for side in sides)
        area = int(np.prod(sides))
        if area < 2:  # instance norm over a single pixel is always zero
            raise StudyRefused(
                f"task.network.strides: after layer {layer} images of {shape} are down to one "
                "pixel; use fewer or smaller strides"
            )


def _densenet(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's DenseNet."""
    from monai.networks.nets import densenet

    sides = image_sides(settings, shape, least=_MIN_SIDE)
    made: nn.Module = getattr(densenet, settings.target)(
        spatial_dims=len(sides),
        in_channels=1,
        out_channels=outputs,
        act=("relu", {"inplace": False}),
        **settings.arguments(),
    )
    return made


def _resnet(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's ResNet."""
    from monai.networks.nets import resnet

    sides = image_sides(settings, shape)
    made: nn.Module = getattr(resnet, settings.target)(
        spatial_dims=len(sides), n_input_channels=1, num_classes=outputs, **settings.arguments()
    )
    return made


def _efficientnet(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's EfficientNet, without what draws random numbers."""
    from monai.networks.nets.efficientnet import EfficientNetBN, MBConvBlock

    sides = image_sides(settings, shape, least=_MIN_SIDE)
    module = EfficientNetBN(
        pretrained=False,
        spatial_dims=len(sides),
        in_channels=1,
        num_classes=outputs,
        **settings.arguments(),
    )
    module.set_swish(memory_efficient=False)
    # Dropout draws random numbers, as stochastic depth does.
    module.register_module("_dropout", nn.Identity())
    for block in module.modules():
        if isinstance(block, MBConvBlock):
            block.drop_connect_rate = 0.0
    return module


def _vit(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's ``ViT``, classifying by its class token."""
    from monai.networks.nets.vit import ViT as Network

    arguments = settings.arguments()
    sides = image_sides(settings, shape, multiple=arguments["patch_size"])
    patches = int(np.prod([side // arguments["patch_size"] for side in sides]))
    if patches > _MOST_PATCHES:
        raise StudyRefused(
            f"task.network.patch_size: {patches} patches an image, at most {_MOST_PATCHES} are "
            "allowed: each is compared with each; use a larger patch_size"
        )
    return FirstOutput(
        Network(
            in_channels=1,
            img_size=sides,
            spatial_dims=len(sides),
            classification=True,
            num_classes=outputs,
            post_activation="none",
            **arguments,
        )
    )


#: Every one of them by the record of its settings.
CLASSIFIERS: Mapping[type[NetworkSettings], Architecture] = {
    FullyConnectedNet: Architecture(build=_fully_connected, engine="chain"),
    Classifier: Architecture(build=_classifier, engine="layers"),
    DenseNet: Architecture(build=_densenet, engine="layers"),
    ResNet: Architecture(build=_resnet, engine="layers"),
    EfficientNet: Architecture(build=_efficientnet, engine="one at a time"),
    ViT: Architecture(build=_vit, engine="vmap"),
}
