"""A study's parameters bear MONAI's names, but for those that it holds otherwise or not at all."""

from typing import Any

import pytest

from pipelines.networks.monai_names import monai_names
from pipelines.networks.networks import build
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.task.task import BinaryClassification, Segmentation, Task
from tests.support.bundles import monai_network

LABEL = {"mask": "masks", "classes": {"no": [0], "yes": [1]}}
IMAGE = {"shape": [16, 16], "range": [0, 1], "centre": 0, "scale": 1}


def cohort(label: Any) -> ImageCohort:
    return ImageCohort(kind="images", patient_key="row", label=label, image=IMAGE)


def test_a_classifying_transformer_is_a_part_of_the_studys() -> None:
    sizes = {"hidden_size": 24, "mlp_dim": 32, "num_layers": 1, "num_heads": 2, "patch_size": 8}
    network: Any = {"_target_": "ViT", **sizes}
    task: Task = BinaryClassification(network=network)
    found = monai_names(task, cohort({"positive": [1], "negative": [0]}))
    own = monai_network(
        {"_target_": "ViT", "in_channels": 1, "img_size": [16, 16], "spatial_dims": 2,
         "classification": True, "num_classes": 1, "post_activation": "none", **sizes}
    ).state_dict()  # fmt: skip
    assert {*own} == {*found.own} | found.unused and not found.aliases
    assert all("norm_cross_attn" in name for name in found.unused) and found.unused
    module = build(task, cohort({"positive": [1], "negative": [0]}), seed=0)
    assert {*found.own.values()} == {name for name, _ in module.named_parameters()}
    assert all(name == f"network.{monais}" for monais, name in found.own.items())
    assert all(tuple(own[name].shape) == shape for name, shape in found.shapes.items())


def test_a_parameter_that_monai_names_twice_counts_once() -> None:
    sizes: Any = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2]}
    task = Segmentation(kind="segmentation", network={"_target_": "DynUNet", **sizes})
    found = monai_names(task, cohort(LABEL))
    own = monai_network(
        {"_target_": "DynUNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2, **sizes}
    ).state_dict()
    assert {*own} == {*found.own} | {*found.aliases}
    assert (
        found.aliases["skip_layers.downsample.conv1.conv.weight"] == "input_block.conv1.conv.weight"
    )


@pytest.mark.parametrize("target", ["resnet10", "SegResNet"])
def test_the_others_are_monais_own_as_they_are(target: str) -> None:
    scores = target == "resnet10"
    label: Any = {"positive": [1], "negative": [0]} if scores else LABEL
    network: Any = {"_target_": target}
    made: Task = (
        BinaryClassification(network=network)
        if scores
        else Segmentation(kind="segmentation", network=network)
    )
    found = monai_names(made, cohort(label))
    assert all(name == own for name, own in found.own.items()) and not found.unused
