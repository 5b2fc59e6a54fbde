"""A study from a bundle holds the bundle's network, preprocessing and weights, or there is none."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collegium.studies.authoring.from_bundle import (
    BundleChoices,
    StudyFromBundle,
    study_from_bundle,
    write_from_bundle,
)
from pipelines.networks.networks import build, parameters_of
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study_file
from protocol.study.task.networks.registry import NETWORKS
from silos.training.trainer import Trainer
from tests import ROOT
from tests.support.bundles import (
    CLASSIFIER,
    METADATA,
    UNET,
    Settings,
    images,
    make_bundle,
    monai_network,
    volumes,
    weights_of,
    zipped,
)
from tests.support.machine.short_form import short_form
from tests.support.simulated.federation import Federation


def made(place: Path, template: Any = None, **choices: Any) -> StudyFromBundle:
    return study_from_bundle(place, BundleChoices(**choices), **(template or {}))


@pytest.fixture(scope="module")
def spleen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "spleen_ct"
    return make_bundle(folder, volumes(), weights=weights_of(monai_network(UNET)))


def test_a_bundle_of_volumes_becomes_a_study(spleen: Path, tmp_path: Path) -> None:
    found = made(spleen)
    beside = write_from_bundle(tmp_path / "study.yaml", found)
    assert beside == tmp_path / "spleen_ct.safetensors"
    assert beside.read_bytes() == (spleen / "models" / "model.safetensors").read_bytes()
    study = read_study_file(tmp_path / "study.yaml")
    assert study.digest == found.study.digest and study.name == "spleen_ct"
    assert study.task.kind == "segmentation" and study.cohort.label.num_classes == 2
    image = found.as_json()["image"]
    assert image["shape"] == [16, 16, 16] and image["range"] == [-1024.0, 3071.0]
    assert [one["_target_"] for one in image["preprocessing"]] == [
        "ScaleIntensityRanged", "ResizeWithPadOrCropd",
    ]  # fmt: skip
    assert study.task.pretrained is not None
    assert study.task.pretrained.source.startswith("MONAI bundle spleen_ct 0.2.0; A pre-trained")
    assert found.not_used == ("imports", "bundle_root", "device", "network", "evaluator", "run")
    head = found.text.partition("collegium: 1")[0]
    assert "# Begun from the MONAI bundle spleen_ct 0.2.0: inference.json" in head
    assert "# Copyright (c) A consortium" in head and "# Licence: Apache-2.0" in head
    assert "Spacingd pixdim: [1.5, 1.5, 2.0]: the hospitals' arrays must have that" in head


def test_what_no_bundle_knows_of_the_hospitals_files_is_called_a_guess(spleen: Path) -> None:
    found = made(spleen)
    (note,) = (each for each in found.notes if each.startswith("cohort.patient_key"))
    assert "are guesses" in note and "patient_key: row where one image is one patient" in note
    keys = [line for line in found.text.splitlines() if "# a guess: " in line]
    assert [line.split(":")[0].strip() for line in keys] == ["patient_key", "parts"]
    assert "cohort.patient_key and cohort.parts" in found.text.partition("collegium: 1")[0]


def test_a_study_from_a_bundle_trains_from_its_weights_and_gives_a_model(tmp_path: Path) -> None:
    config = images(network_def=CLASSIFIER | {"classes": 2})
    network = monai_network(CLASSIFIER | {"classes": 2})
    place = make_bundle(tmp_path / "xray", config, weights=weights_of(network))
    found = made(place, {"sites": ["east", "north", "west"]})
    write_from_bundle(tmp_path / "study.yaml", found)
    study = read_study_file(tmp_path / "study.yaml")
    sites = tuple(site.model_copy(update={"patients": 16}) for site in study.sites)
    training = study.training.model_copy(update={"rounds": 1, "learning_rate": 0.01})
    cohort = study.cohort.model_copy(update={"min_patients": 4})
    privacy = study.privacy.model_copy(update={"epsilon": 8.0, "delta": 1e-3})
    short = study.replaced(sites=sites, training=training, cohort=cohort, privacy=privacy)

    def write(folder: Path, _study: Study) -> None:
        random = np.random.default_rng(5)
        for site in sites:
            labels = np.arange(16) % 2
            pixels = random.integers(0, 50, (16, 20, 18)) + 100 * labels[:, None, None]
            np.savez(
                folder / f"{site.name}.npz",
                train_images=pixels,
                train_labels=labels,
                train_patient_id=np.arange(16),
            )

    federation = Federation(tmp_path, short, trainer=Trainer, write=write, fixed_noise=1)
    outcome = federation.run()
    federation.close()
    begun = parameters_of(build(short.task, short.cohort, short.seeds.model))
    assert np.array_equal(begun["final.1.bias"], network.state_dict()["final.1.bias"])
    moved = {name: np.abs(outcome.model[name] - begun[name]).max() for name in begun}
    assert set(outcome.model) == set(begun) and 0 < max(moved.values()) < 0.5


def test_an_archive_gives_the_same_study(spleen: Path, tmp_path: Path) -> None:
    packed = made(zipped(spleen, tmp_path / "spleen.zip"))
    assert packed.study.digest == made(spleen).study.digest
    assert packed.text == made(spleen).text


#: Networks as bundles write them, with the sides of an image, and the task where it must be said.
NETS: dict[str, tuple[Settings, tuple[int, ...]]] = {
    "UNet": (UNET, (16, 16, 16)),
    "Classifier": (CLASSIFIER | {"classes": 3}, (16, 16)),
    "Regressor": (
        {"_target_": "Regressor", "in_shape": [1, 16, 16], "out_shape": [1], "channels": [4, 8],
         "strides": [2, 2]}, (16, 16),
    ),
    "DenseNet121": (
        {"_target_": "DenseNet121", "spatial_dims": 2, "in_channels": 1, "out_channels": 1,
         "init_features": 8, "growth_rate": 4, "norm": "instance"}, (64, 64),
    ),
    "ViT": (
        {"_target_": "ViT", "in_channels": 1, "img_size": [16, 16], "patch_size": 8,
         "spatial_dims": 2, "hidden_size": 24, "mlp_dim": 32, "num_layers": 2, "num_heads": 2,
         "classification": True, "num_classes": 3, "post_activation": "none"}, (16, 16),
    ),
    "BasicUNet": (
        {"_target_": "BasicUNet", "spatial_dims": 2, "out_channels": 2, "act": "leakyrelu",
         "norm": "instance", "features": [4, 4, 8, 8, 8, 4]}, (32, 32),
    ),
    "DynUNet": (
        {"_target_": "DynUNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2,
         "kernel_size": [[3, 3, 3]] * 3, "strides": [1, 2, 2], "upsample_kernel_size": [2, 2],
         "filters": [4, 8, 8]}, (8, 8, 8),
    ),
    "SegResNet": (
        {"_target_": "SegResNet", "in_channels": 1, "out_channels": 3, "init_filters": 8,
         "blocks_down": [1, 1], "blocks_up": [1]}, (8, 8, 8),
    ),
    "UNETR": (
        {"_target_": "UNETR", "in_channels": 1, "out_channels": 2, "img_size": [16, 16],
         "spatial_dims": 2, "feature_size": 4, "hidden_size": 24, "mlp_dim": 32, "num_heads": 2},
        (16, 16),
    ),
}  # fmt: skip


def test_every_network_whose_norm_a_bundle_may_keep_is_compared() -> None:
    """The others are DenseNet's sibling, networks with no norm but batch norm, and no bundle's."""
    others = {name for name in NETWORKS if name.startswith("resnet")}
    others |= {"DenseNet169", "EfficientNetBN", "FullyConnectedNet", "LateFusion"}
    assert {*NETS} | others == {*NETWORKS}


@pytest.mark.parametrize("name", short_form(NETS, 3))
def test_a_studys_network_is_monais_own_with_the_bundles_weights(name: str, tmp_path: Path) -> None:
    settings, sides = NETS[name]
    own = monai_network(settings).eval()
    place = make_bundle(tmp_path / "b", {"network_def": dict(settings)}, weights=weights_of(own))
    found = made(place, shape=sides)
    network = build(found.study.task, found.study.cohort, seed=11).eval()
    records = torch.rand(2, 1, *sides, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = own(records)
        expected = expected[0] if isinstance(expected, tuple) else expected
        assert torch.equal(network(records), expected)


def test_another_number_of_outputs_is_refused_until_the_layer_is_left_out(tmp_path: Path) -> None:
    config = images(num_classes=5)
    weights = weights_of(monai_network(CLASSIFIER | {"classes": 5}))
    place = make_bundle(tmp_path / "b", config, weights=weights)
    with pytest.raises(StudyRefused) as refused:
        made(place, task="binary_classification")
    assert "'final.1.weight' has shape (5, 128), the network's has (1, 128)" in str(refused.value)
    found = made(place, task="binary_classification", without=("final.1",))
    assert found.left_out == ("final.1.bias", "final.1.weight")
    assert "outputs: 5 in the bundle, 1 in the study" in found.notes
    assert "start from the seed: final.1.bias, final.1.weight" in found.notes
    assert made(place).study.cohort.label.num_classes == 5


@pytest.mark.parametrize("task", ["multilabel_classification", "regression", "survival"])
def test_every_task_of_images_can_begin_from_a_bundle(task: str, tmp_path: Path) -> None:
    place = make_bundle(tmp_path / "b", images(), metadata=METADATA | {"network_data_format": {}})
    found = made(place, task=task)
    assert found.study.task.kind == task and found.weights is None
    assert "no weights: the network starts from the seed" in found.notes


def test_yaml_and_the_preprocessing_of_validation_are_read(tmp_path: Path) -> None:
    text = """\
image: $monai.utils.CommonKeys.IMAGE
network_def:
  _target_: SegResNet
  spatial_dims: 2
  init_filters: 8
  norm: [GROUP, {num_groups: 4}]   # a comment
train:
  preprocessing: {_target_: Compose, transforms: $@random}
validate:
  preprocessing:
    _target_: Compose
    transforms:
    - {_target_: ScaleIntensityd, keys: image}
    - {_target_: CenterSpatialCropd, keys: image, roi_size: [32, 32]}
"""
    place = make_bundle(tmp_path / "b", text, file="train.yaml")
    found = made(place, shape=(32, 32))
    assert [one["_target_"] for one in found.as_json()["image"]["preprocessing"]] == [
        "ScaleIntensityd", "CenterSpatialCropd",
    ]  # fmt: skip
    assert found.not_used == ("image", "train")
    with pytest.raises(StudyRefused, match=r"validate\.preprocessing: leaves sides of 1 to 32, 1 "):
        made(place, shape=(64, 64))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (volumes(network_def="$UNet()"), "network_def: '$UNet()' is an expression, and none is"),
        ({"network": "$@network_def.to(@device)"}, "network: '$@network_def.to(@device)' is an "),
        (volumes(network_def=UNET | {"norm": "batch"}), "network_def.norm: batch norm mixes the"),
        (volumes(preprocessing="$@a + @b"), "preprocessing: '$@a + @b' is an expression"),
        ({"other": 1}, "no network_def, network, net in configs/inference.json"),
        ({"network_def": UNET}, "names no sides of images in numbers: say them, for example "
         "--shape 96,96,96"),
        (volumes(roi=[16, 16]), "preprocessing: spatial_size has 2 sides, the images 3"),
        (volumes(roi=[9, 9, 9]), "task.network.strides: UNet: "),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused(config: Any, message: str, tmp_path: Path) -> None:
    place = make_bundle(tmp_path / "b", config)
    with pytest.raises(StudyRefused) as refused:
        made(place)
    assert message in str(refused.value)
    if "an expression" in message or "mixes" in message:
        assert f"{place}/configs/inference.json:" in str(refused.value)


def test_wrong_words_beside_the_bundle_are_refused(spleen: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyRefused, match="--template cox: one of binary_classification, "):
        made(spleen, task="cox")
    with pytest.raises(StudyRefused, match="a cohort of images needs Classifier or"):
        made(spleen, task="regression")
    with pytest.raises(StudyRefused, match="--without: the study takes no weights from"):
        made(spleen, with_weights=False, without=("model",))
    pickles = make_bundle(tmp_path / "p", volumes(), weights=b"\x80", weights_file="model.pt")
    with pytest.raises(StudyRefused, match=r"models/model\.pt: a pickle"):
        made(pickles)
    assert "(--no-weights)" in made(pickles, with_weights=False).notes[1]


def test_study_and_weights_are_written_both_or_neither(spleen: Path, tmp_path: Path) -> None:
    found, to = made(spleen), tmp_path / "study.yaml"
    to.write_text("mine")
    with pytest.raises(WorkspaceRefused, match="is there already: name a new file"):
        write_from_bundle(to, found)
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]
    to.unlink()
    beside = tmp_path / "spleen_ct.safetensors"
    beside.write_bytes(b"mine")
    with pytest.raises(WorkspaceRefused, match="holds other weights: name a new folder"):
        write_from_bundle(to, found)
    assert not to.exists() and beside.read_bytes() == b"mine"
    beside.unlink()
    write_from_bundle(to, found)
    assert write_from_bundle(tmp_path / "second.yaml", found) == beside
    with pytest.raises(WorkspaceRefused, match="cannot be written"):
        write_from_bundle(tmp_path / "gone" / "study.yaml", found)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "second.yaml", "spleen_ct.safetensors", "study.yaml",
    ]  # fmt: skip


def test_the_conversion_that_the_page_shows_gives_a_file_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    section = page.partition("## From a MONAI bundle")[2]
    script = section.partition("```python\n")[2].partition("```")[0]
    place = make_bundle(tmp_path / "b", images())
    own = monai_network(CLASSIFIER | {"classes": 2})
    torch.save({"model": own.state_dict(), "epoch": 3}, place / "models" / "model.pt")
    with pytest.raises(StudyRefused, match="a pickle"):
        made(place)
    monkeypatch.chdir(place)
    (tmp_path / "convert.py").write_text(script)
    runpy.run_path(str(tmp_path / "convert.py"))
    found = made(place)
    tensors = found.study.task.pretrained
    assert tensors is not None
    assert {*tensors.tensors} == {name for name, _ in own.named_parameters()}
