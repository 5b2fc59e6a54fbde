"""A study's network as MONAI itself builds it, from a name and arguments that JSON can hold.

It mirrors ``pipelines.networks``, which repairs what MONAI makes. What MONAI alone cannot say has
no definition: a network of several parts, of a recipe, with adapters, one that gives more than its
outputs (ViT), and a ResNet: MONAI 1.6 passes ``norm`` on to all blocks of a stage but the first.
"""

from typing import Any

from protocol.study.cohort.cohort import Cohort
from protocol.study.task.networks.classifiers import (
    Classifier,
    DenseNet,
    EfficientNet,
    FullyConnectedNet,
)
from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.networks.segmenters import UNETR, DynUNet, Segmenter
from protocol.study.task.task import Task

_NETS = "monai.networks.nets"


def monai_definition(task: Task, cohort: Cohort) -> dict[str, Any] | None:
    """Returns ``_target_`` and arguments of a study's network; None where MONAI has none.

    Args:
        task: the study's task; its network is that of one record form.
        cohort: says the form of an encoded record.
    """
    settings, shape = task.network, cohort.record_form
    if len(settings.parts) > 1 or task.adapters is not None:
        return None
    outputs = task.outputs(cohort.label)
    arguments = _arguments(settings, shape, outputs)
    if arguments is None:
        return None
    found: dict[str, Any] = {"_target_": f"{_NETS}.{settings.target}", **arguments}
    plain: dict[str, Any] = _plain(found)
    return plain


def _arguments(
    settings: NetworkSettings, shape: tuple[int, ...], outputs: int
) -> dict[str, Any] | None:
    given, sides = settings.arguments(), shape[1:]
    image = {"spatial_dims": len(sides), "in_channels": 1}
    match settings:
        case FullyConnectedNet():
            return {"in_channels": shape[0], "out_channels": outputs, **given}
        case Classifier() if settings.target == "Regressor":
            return {"in_shape": (1, *sides), "out_shape": (outputs,), **given}
        case Classifier():
            return {"in_shape": (1, *sides), "classes": outputs, **given}
        case DenseNet():
            return {**image, "out_channels": outputs, "act": ("relu", {"inplace": False}), **given}
        case EfficientNet():
            return {"pretrained": False, **image, "num_classes": outputs, **given}
        case DynUNet():
            norm = given["norm_name"]
            given["norm_name"] = ("instance", {"affine": True}) if norm == "instance" else norm
            return {**image, "out_channels": outputs, **given}
        case UNETR():
            return {"in_channels": 1, "out_channels": outputs, "img_size": sides, **given,
                    "spatial_dims": len(sides)}  # fmt: skip
        case Segmenter():
            return {**image, "out_channels": outputs, **given}
        case _:
            return None


def _plain(value: Any) -> Any:
    """Returns a value as JSON has it: lists for tuples."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
