"""A bundle's network becomes a study's, argument by argument, or is refused by name and line."""

from typing import Any

import pytest

from collegium.studies.authoring.bundle.network import read_network
from protocol.errors import StudyRefused
from protocol.study.task.networks.registry import NETWORKS
from tests.support.bundles import CLASSIFIER, UNET, section_of

VIT = {"_target_": "ViT", "in_channels": 1, "img_size": [32, 32], "patch_size": [16, 16],
       "spatial_dims": 2, "classification": True}  # fmt: skip
DENSENET = {"_target_": "DenseNet121", "spatial_dims": 2, "in_channels": 1, "out_channels": 3}
DYNUNET = {
    "_target_": "DynUNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2,
    "kernel_size": [[3, 3, 3]] * 3, "strides": [1, [2, 2, 2], 2],
    "upsample_kernel_size": [[2, 2, 2], 2],
}  # fmt: skip


def test_a_bundles_arguments_are_written_as_a_study_writes_them() -> None:
    found = read_network(section_of({**UNET, "kernel_size": [3, 3, 3], "dropout": 0.0}))
    assert found.written == {
        "_target_": "UNet", "spatial_dims": 3, "channels": [4, 8, 16], "strides": [2, 2],
        "num_res_units": 2, "norm": "instance", "kernel_size": 3,
    }  # fmt: skip
    assert (found.outputs, found.axes, found.sides, found.notes) == (2, 3, None, ())


def test_what_a_bundle_leaves_out_is_as_monai_has_it() -> None:
    found = read_network(section_of(CLASSIFIER | {"classes": 3}))
    assert found.written["num_res_units"] == 2 and found.written["act"] == "prelu"
    assert found.settings.target == "Classifier" and found.sides == (16, 16) and found.axes == 2
    assert read_network(section_of(VIT)).sides == (32, 32)
    assert read_network(section_of(VIT | {"img_size": 32})).sides == (32, 32)


def test_sizes_alike_on_every_axis_are_one_number() -> None:
    found = read_network(section_of(DYNUNET))
    assert found.written["kernel_size"] == [3, 3, 3] and found.written["strides"] == [1, 2, 2]
    assert found.written["upsample_kernel_size"] == [2, 2]


def test_defaults_that_a_study_cannot_have_are_said() -> None:
    assert read_network(section_of(DENSENET)).notes == (
        "network.norm: MONAI's own default is batch; the study has [group, {num_groups: 8}]",
    )
    assert read_network(section_of(VIT)).notes == (
        "network.post_activation: MONAI's own default is Tanh; the study has none",
    )
    found = read_network(section_of({"_target_": "BasicUNet", "spatial_dims": 2})).notes
    assert (
        len(found) == 2 and "network.norm: MONAI's own default is [instance, {affine:" in found[1]
    )
    resnet = {"_target_": "resnet10", "spatial_dims": 2, "n_input_channels": 1, "num_classes": 2}
    assert "network.norm: MONAI's own default is batch" in read_network(section_of(resnet)).notes[0]
    efficient = {"_target_": "EfficientNetBN", "model_name": "efficientnet-b0", "in_channels": 1}
    notes = read_network(section_of(efficient | {"pretrained": False})).notes
    assert "dropout and stochastic depth" in notes[-1]


@pytest.mark.parametrize("target", sorted({*NETWORKS} - {"FullyConnectedNet", "LateFusion"}))
def test_every_network_for_images_is_known_with_monais_defaults(target: str) -> None:
    """A wrong argument of each is refused by name, so its signature was found."""
    with pytest.raises(
        StudyRefused, match=r"c\.json:4: it\.wings: MONAI has no such argument; all"
    ):
        read_network(section_of({"_target_": target, "wings": 2}))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (UNET | {"_target_": "TorchVisionFCModel"}, "c.json:3: it._target_: 'TorchVisionFCModel' "
         "is not built; _target_ is one of FullyConnectedNet, Classifier, "),
        (UNET | {"_target_": "SegResnet"}, "did you mean 'SegResNet'?"),
        (UNET | {"_target_": "scripts.net.UNet"}, "'scripts.net.UNet' is not built"),
        (UNET | {"_target_": "os.system"}, "'os.system' is not built"),
        ({"_target_": "LateFusion"}, "'LateFusion' is not built"),
        ({"spatial_dims": 3}, "it._target_: None is not built"),
        (["UNet"], "c.json:2: it: a network is written {_target_: NAME, ...}"),
        (UNET | {"norm": "batch"}, "c.json:17: it.norm: batch norm mixes the patients of a batch: "
         "use norm: instance, or norm: [group, {num_groups: 8}]"),
        (UNET | {"norm": ["BATCH", {"eps": 1e-3}]}, "it.norm: batch norm mixes the patients"),
        (UNET | {"norm": ["instance", {"affine": True}]}, "c.json:17: it.norm: instance norm "
         "of a study has no parameters of its own: write instance, or [group, "),
        (UNET | {"num_res_units": 9}, "c.json:16: it.num_res_units: input should be less than or "
         "equal to 8, got 9"),
        (UNET | {"channels": [4, 8]}, "strides must be one fewer than channels"),
        (UNET | {"dropout": 0.2}, "c.json:18: it.dropout: 0.2: a study has no such argument, and "
         "0.0 in its place; allowed are spatial_dims, channels, strides, kernel_size,"),
        (UNET | {"in_channels": 4}, "c.json:5: it.in_channels: 4: an image has one channel here"),
        (UNET | {"out_channels": "two"}, "c.json:6: it.out_channels: two: expected a number of"),
        (CLASSIFIER | {"classes": 2, "in_shape": [3, 16, 16]}, "it.in_shape: 3: an image has one"),
        (CLASSIFIER | {"classes": 2, "in_shape": "big"}, "it.in_shape: big: expected channels and"),
        (VIT | {"post_activation": "Tanh"}, "it.post_activation: Tanh: a study has no such"),
        (VIT | {"classification": False}, "it.classification: false: a study has no such argument, "
         "and true in its place"),
        (VIT | {"img_size": [-1, 2]}, "it.img_size: [-1, 2]: expected sides in pixels"),
        (DYNUNET | {"norm_name": "INSTANCE"}, "it.norm_name: instance norm of a study's DynUNet "
         "has parameters: write [INSTANCE, {affine: true}]"),
        ({"_target_": "resnet18", "spatial_dims": 2, "num_classes": 2},
         "it.n_input_channels: 3 (MONAI's default, as the bundle leaves it out): an image has one"),
        ({"_target_": "resnet18", "norm": "batch"}, "it.norm: batch: a study has no such argument, "
         'and "group norm of up to 32 groups" in its place'),
        ({"_target_": "EfficientNetBN", "pretrained": True}, "it.pretrained: true: a study has no"),
        ({"_target_": "FullyConnectedNet", "in_channels": 3}, "FullyConnectedNet is for tables"),
        ({"_target_": "UNet"}, "c.json:2: it.channels: this key is required and missing"),
        ({"_target_": "SegResNet", "blocks_up": [1]}, "c.json:2: it: blocks_up must be one fewer"),
        (UNET | {"_disabled_": True}, "it._disabled_: the bundle's network is not in use"),
        (DENSENET | {"out_channels": True}, "it.out_channels: true: expected a number of outputs"),
    ],
)  # fmt: skip
def test_what_no_study_can_have_is_refused_by_name_and_line(network: Any, message: str) -> None:
    with pytest.raises(StudyRefused) as refused:
        read_network(section_of(network))
    assert message in str(refused.value)
