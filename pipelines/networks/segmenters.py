"""Networks that give a class for every pixel, as MONAI builds them: a function and a line each."""

from collections.abc import Mapping

from torch import nn

from pipelines.networks.architecture import Architecture, RecordShape, image_sides
from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.networks.segmenters import UNETR, BasicUNet, DynUNet, SegResNet, UNet


def _unet(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's ``UNet``."""
    from monai.networks.nets.unet import UNet as Network

    sides = image_sides(settings, shape)
    return Network(
        spatial_dims=len(sides), in_channels=1, out_channels=outputs, **settings.arguments()
    )


def _basic_unet(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's ``BasicUNet``."""
    from monai.networks.nets.basic_unet import BasicUNet as Network

    sides = image_sides(settings, shape, least=16)
    return Network(
        spatial_dims=len(sides), in_channels=1, out_channels=outputs, **settings.arguments()
    )


def _dynunet(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's ``DynUNet``, without deep supervision."""
    from monai.networks.nets.dynunet import DynUNet as Network

    sides = image_sides(settings, shape)
    arguments = settings.arguments()
    if arguments["norm_name"] == "instance":
        arguments["norm_name"] = ("instance", {"affine": True})
    return Network(spatial_dims=len(sides), in_channels=1, out_channels=outputs, **arguments)


def _segresnet(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's ``SegResNet``."""
    from monai.networks.nets.segresnet import SegResNet as Network

    sides = image_sides(settings, shape)
    return Network(
        spatial_dims=len(sides), in_channels=1, out_channels=outputs, **settings.arguments()
    )


def _unetr(settings: NetworkSettings, shape: RecordShape, outputs: int) -> nn.Module:
    """Returns MONAI's ``UNETR``, whose patches have 16 pixels a side."""
    from monai.networks.nets.unetr import UNETR as Network

    sides = image_sides(settings, shape, least=16, multiple=16)
    return Network(
        spatial_dims=len(sides),
        in_channels=1,
        out_channels=outputs,
        img_size=sides,
        **settings.arguments(),
    )


#: Every one of them by the record of its settings.
SEGMENTERS: Mapping[type[NetworkSettings], Architecture] = {
    UNet: Architecture(build=_unet, engine="layers"),
    BasicUNet: Architecture(build=_basic_unet, engine="layers"),
    DynUNet: Architecture(build=_dynunet, engine="layers"),
    SegResNet: Architecture(build=_segresnet, engine="layers"),
    UNETR: Architecture(build=_unetr, engine="vmap"),
}
