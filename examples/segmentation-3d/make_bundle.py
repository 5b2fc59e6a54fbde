"""Makes a small MONAI bundle: a network that has learned to outline spheres from public volumes.

Usage:  python examples/segmentation-3d/make_bundle.py TO_FOLDER

The volumes are MONAI's synthetic ones, as no hospital's scanner saw them: without its brightness
and noise. Folders and files are those of MONAI's model zoo.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from monai.data.synthetic import create_test_image_3d
from monai.losses import DiceCELoss
from monai.networks.nets import SegResNet
from safetensors.torch import save_file

SIDE = 24
NETWORK = {
    "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "init_filters": 8,
    "blocks_down": [1, 2, 2], "blocks_up": [1, 1],
}  # fmt: skip
METADATA = {
    "version": "1.0.0",
    "task": "Segmentation of spheres",
    "description": "Outlines spheres in volumes",
    "authors": "The authors of Collegium",
    "copyright": "Copyright (c) The authors of Collegium",
    "license": "Apache-2.0",
    "data_source": "MONAI's synthetic volumes: nobody's",
    "network_data_format": {
        "inputs": {"image": {"num_channels": 1, "spatial_shape": [SIDE] * 3}},
        "outputs": {"pred": {"channel_def": {"0": "background", "1": "lesion"}}},
    },
}
INFERENCE = {
    "imports": ["$import os"],
    "bundle_root": ".",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "image_size": [SIDE] * 3,
    "network_def": {"_target_": "SegResNet", **NETWORK},
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -3, "a_max": 4,
             "b_min": -3, "b_max": 4, "clip": True},
            {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": "@image_size"},
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "checkpoint": "$@bundle_root + '/models/model.pt'",
}  # fmt: skip


def learned(steps: int, volumes: int = 24) -> SegResNet:
    """Returns the network after so many steps on four volumes each."""
    random = np.random.RandomState(7)
    drawn = [
        create_test_image_3d(
            SIDE, SIDE, SIDE, num_objs=3, rad_max=6, rad_min=3, noise_max=0.0,
            num_seg_classes=1, random_state=random,
        )
        for _ in range(volumes)
    ]  # fmt: skip
    torch.manual_seed(7)
    network, loss = SegResNet(**NETWORK), DiceCELoss(to_onehot_y=True, softmax=True)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        chosen = [drawn[place] for place in random.choice(volumes, 4, replace=False)]
        images, masks = (np.stack(arrays)[:, None] for arrays in zip(*chosen, strict=True))
        optimiser.zero_grad()
        loss(network(torch.from_numpy(images).float()), torch.from_numpy(masks).long()).backward()
        optimiser.step()
    return network


def main(folder: Path, steps: int = 60) -> None:
    """Writes the bundle."""
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    for name, value in (("metadata", METADATA), ("inference", INFERENCE)):
        text = json.dumps(value, indent=4) + "\n"
        (folder / "configs" / f"{name}.json").write_text(text, encoding="utf-8")
    save_file(learned(steps).state_dict(), folder / "models" / "model.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
