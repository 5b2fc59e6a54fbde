"""A study's network: MONAI's names and arguments, from a list; everything else is refused."""

import pytest

from pipelines.networks.networks import build
from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.simulated.studies import TABLE_STUDY, small_study

IMAGES = """\
  kind: images
  patient_key: row
  label: {label}
  image: {{shape: [16, 16], range: [0, 1], centre: 0, scale: 1}}
"""
MASK = "{mask: masks, classes: {none: [0], lesion: [1]}}"
YES_NO = "{positive: [1], negative: [0]}"


def study_of(network: str, label: str = YES_NO, kind: str = "binary_classification") -> Study:
    begin, end = TABLE_STUDY.index("  kind: table"), TABLE_STUDY.index("sites:")
    text = TABLE_STUDY[:begin] + IMAGES.format(label=label) + TABLE_STUDY[end:]
    at = text.index("task:\n")
    rest = text[text.index("training:") :]
    return read_study(f"{text[:at]}task:\n  kind: {kind}\n  network: {network}\n{rest}")


def test_settings_are_written_by_monais_names_and_digested_so() -> None:
    study = study_of("{_target_: DenseNet121, spatial_dims: 2, growth_rate: 16}")
    kept = study.model_dump(mode="json")["task"]["network"]
    assert kept == {
        "_target_": "DenseNet121",
        "spatial_dims": 2,
        "init_features": 64,
        "growth_rate": 16,
        "norm": ["group", {"num_groups": 8}],
    }
    assert Study.model_validate_json(study.canonical_bytes).digest == study.digest
    assert small_study().model_dump()["task"]["network"]["_target_"] == "FullyConnectedNet"


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("{_target_: SwinUNETR}", "_target_ is one of FullyConnectedNet, .*; no other is built"),
        ("{_target_: monai.networks.nets.ViT}", "write ViT, without where it is from"),
        ("{_target_: os.system, command: ls}", "no other is built"),
        ("{_target_: [ViT]}", "no other is built"),
        ("{name: Classifier, channels: [8], strides: [2]}", "name is written _target_"),
        ("{_target_: ViT, hidden_size: '$__import__(1)'}", "hidden_size"),
        ("{_target_: ViT, hidden_size: 10, num_heads: 3}", "a multiple of num_heads"),
        ("{_target_: resnet18, conv1_t_size: 70}", "conv1_t_size"),
        ("{_target_: DenseNet121, growth_rate: 0}", "growth_rate"),
        ("{_target_: DenseNet121, norm: batch}", "batch norm mixes the patients of a batch"),
        ("{_target_: DenseNet121, dropout_prob: 0.5}", "dropout_prob"),
        ("{_target_: DenseNet121, in_channels: 3}", "in_channels"),
        ("{_target_: DenseNet112}", "did you mean 'DenseNet121'"),
        ("5", "a network is written"),
        ("[ViT]", "a network is written"),
        ("null", "a network is written"),
        (f"{{_target_: FullyConnectedNet, hidden_channels: {[1] * 65}}}", "at most 64"),
        ("{_target_: FullyConnectedNet}", "a cohort of images needs Classifier or "),
        ("{_target_: UNet, channels: [4, 8], strides: [2]}", "a cohort of images needs Classifier"),
    ],
)
def test_what_is_not_on_the_list_is_refused_by_name(network: str, said: str) -> None:
    with pytest.raises(StudyRefused, match=said):
        study_of(network)


def test_a_task_of_masks_needs_a_network_that_gives_them() -> None:
    unet = "{_target_: UNet, channels: [4, 8], strides: [2]}"
    assert study_of(unet, MASK, "segmentation").evaluation_vector.shape == (1, 3)
    with pytest.raises(StudyRefused, match="a task of masks needs UNet or BasicUNet or"):
        study_of("{_target_: DenseNet121}", MASK, "segmentation")
    with pytest.raises(StudyRefused, match="segmentation needs a label with a mask and classes"):
        study_of(unet, YES_NO, "segmentation")


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("{_target_: UNet, channels: [4, 8], strides: [2, 2]}", "one fewer than channels"),
        ("{_target_: SegResNet, blocks_down: [1, 1]}", "blocks_up must be one fewer"),
        (
            "{_target_: DynUNet, kernel_size: [3, 3, 3], strides: [1, 2, 2, 2], "
            "upsample_kernel_size: [2, 2]}",
            "strides must be as many as kernel_size",
        ),
    ],
)
def test_levels_that_do_not_agree_are_refused(network: str, said: str) -> None:
    with pytest.raises(StudyRefused, match=said):
        study_of(network, MASK, "segmentation")


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("{_target_: UNet, channels: [4, 8, 8, 8, 8], strides: [2, 2, 3, 2]}", "UNet: "),
        ("{_target_: BasicUNet}", "BasicUNet: "),
        ("{_target_: SegResNet, blocks_down: [1, 1, 1, 1, 1, 1], blocks_up: [1, 1, 1, 1, 1]}",
         "SegResNet: "),
    ],
)  # fmt: skip
def test_images_that_a_network_cannot_take_are_refused_before_anything_starts(
    network: str, said: str
) -> None:
    study = study_of(network, MASK, "segmentation")
    with pytest.raises(StudyRefused, match=rf"task\.network(\.norm)?: {said}"):
        build(study.task, study.cohort, 1)


def test_a_transformer_of_too_many_patches_is_refused() -> None:
    study = study_of("{_target_: ViT, patch_size: 1, hidden_size: 12, num_heads: 3}")
    image = study.cohort.image.model_copy(update={"shape": (128, 128)})
    large = study.cohort.model_copy(update={"image": image})
    with pytest.raises(StudyRefused, match="16384 patches an image, at most 4096"):
        build(study.task, large, 1)
