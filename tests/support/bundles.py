"""MONAI bundles in the layout of MONAI's model zoo, small and made here."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from collegium.studies.authoring.bundle.config import ConfigSection, read_config

Settings = Mapping[str, Any]

#: A network of volumes, as a bundle of MONAI's writes one.
UNET: Settings = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8, 16],
    "strides": [2, 2],
    "num_res_units": 2,
    "norm": "INSTANCE",
}
#: A network of images.
CLASSIFIER: Settings = {
    "_target_": "monai.networks.nets.Classifier",
    "in_shape": [1, 16, 16],
    "classes": "@num_classes",
    "channels": [4, 8],
    "strides": [2, 2],
}
_LOADED = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
]
#: What a bundle of volumes does with an image.
CT = [
    *_LOADED,
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
    {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -57, "a_max": 164,
     "b_min": 0, "b_max": 1, "clip": True},
    {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": "@roi"},
    {"_target_": "EnsureTyped", "keys": "image"},
]  # fmt: skip
#: What a bundle of images does with one.
XRAY = [
    *_LOADED,
    {"_target_": "ScaleIntensityd", "keys": ["image"], "channel_wise": True},
    {"_target_": "Resized", "keys": "image", "spatial_size": [16, 16]},
]
METADATA: Settings = {
    "version": "0.2.0",
    "monai_version": "1.4.0",
    "task": "Spleen segmentation",
    "description": "A pre-trained model for volumetric segmentation of the spleen from CT images",
    "authors": "A consortium",
    "copyright": "Copyright (c) A consortium",
    "license": "Apache-2.0",
    "data_source": "Public volumes, CC BY-SA 4.0",
    "network_data_format": {
        "inputs": {"image": {"format": "hounsfield", "num_channels": 1,
                             "spatial_shape": ["8*n", "8*n", "8*n"], "value_range": [0, 1]}},
        "outputs": {"pred": {"channel_def": {"0": "background", "1": "spleen"}}},
    },
}  # fmt: skip


def volumes(**changed: Any) -> dict[str, Any]:
    """Returns the configuration of a bundle of volumes, with expressions where no study looks."""
    return {
        "imports": ["$import os"],
        "bundle_root": ".",
        "roi": [16, 16, 16],
        "device": "$torch.device('cpu')",
        "network_def": dict(UNET),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": CT},
        "evaluator": {"_target_": "SupervisedEvaluator", "device": "@device"},
        "run": ["$@evaluator.run()"],
    } | changed


def images(**changed: Any) -> dict[str, Any]:
    """Returns the configuration of a bundle of images."""
    return {
        "num_classes": 2,
        "network_def": dict(CLASSIFIER),
        "preprocessing": {"_target_": "Compose", "transforms": XRAY},
    } | changed


def make_bundle(
    folder: Path,
    config: Mapping[str, Any] | str,
    *,
    metadata: Mapping[str, Any] | str = METADATA,
    weights: bytes | None = None,
    file: str = "inference.json",
    weights_file: str = "model.safetensors",
) -> Path:
    """Writes a bundle's folder; a text is written as it is."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    for name, content in ((file, config), ("metadata.json", metadata)):
        text = content if isinstance(content, str) else json.dumps(content, indent=4)
        (folder / "configs" / name).write_text(text, encoding="utf-8")
    if weights is not None:
        (folder / "models" / weights_file).write_bytes(weights)
    return folder


def zipped(folder: Path, to: Path) -> Path:
    """Writes a bundle's folder into a ZIP archive, as a folder of it."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path(folder.name) / path.relative_to(folder))
    return to


def monai_network(settings: Settings, seed: int = 3) -> Any:
    """Returns MONAI's own network of these arguments."""
    import torch
    from monai.networks import nets

    given = {key: value for key, value in settings.items() if key != "_target_"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return getattr(nets, settings["_target_"].rsplit(".", 1)[-1])(**given)


def weights_of(network: Any, **changed: Any) -> bytes:
    """Returns the state of a network of MONAI's as a safetensors file."""
    state = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    return save({k: v for k, v in (state | changed).items() if v is not None})


def section_of(value: Any, **others: Any) -> ConfigSection:
    """Returns a section of a configuration file called ``c.json``; it begins in line 2."""
    text = json.dumps({"it": value} | others, indent=1)
    return read_config(text.encode(), "c.json").section("it")


def zeros(*shape: int) -> Any:
    """Returns a tensor of a file of weights."""
    return np.zeros(shape, np.float32)
