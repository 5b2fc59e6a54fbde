"""Draws the volumes of three hospitals, whose scanners differ in brightness and noise.

Usage:  python examples/segmentation-3d/make_volumes.py TO_FOLDER [TRAINING_PATIENTS TEST_PATIENTS]

Each hospital has 30 and 12 where nothing else is said.
Volumes and masks are MONAI's synthetic ones: spheres of random size and place. Each hospital's
scanner has a brightness and a noise of its own. Seeds are fixed: every call draws the same.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from monai.data.synthetic import create_test_image_3d

SIDE = 24
#: Hospital: what voxels are multiplied by, what is added, and the deviation of the noise.
SCANNERS = {"east": (1.0, 0.0, 0.1), "north": (0.7, 0.2, 0.2), "west": (1.3, -0.1, 0.3)}
#: Patients of each part, where nothing else is said.
PARTS = {"train": 30, "test": 12}


def drawn(scanner: tuple[float, float, float], count: int, seed: int) -> dict[str, np.ndarray]:
    """Returns (count, 24, 24, 24) images and masks."""
    random, (factor, shift, noise) = np.random.RandomState(seed), scanner
    images, masks = [], []
    for _ in range(count):
        image, mask = create_test_image_3d(
            SIDE, SIDE, SIDE, num_objs=3, rad_max=6, rad_min=3, noise_max=0.0,
            num_seg_classes=1, random_state=random,
        )  # fmt: skip
        images.append(image * factor + shift + random.normal(0, noise, image.shape))
        masks.append(mask)
    return {"images": np.array(images, np.float32), "masks": np.array(masks, np.uint8)}


def main(folder: Path, parts: Mapping[str, int] = PARTS) -> None:
    """Writes a file for each hospital."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, (hospital, scanner) in enumerate(SCANNERS.items()):
        arrays = {
            f"{part}_{name}": values
            for number, (part, count) in enumerate(parts.items())
            for name, values in drawn(scanner, count, 10 * place + number).items()
        }
        np.savez_compressed(folder / f"{hospital}.npz", **arrays)


if __name__ == "__main__":
    counts = [int(count) for count in sys.argv[2:4]] or PARTS.values()
    main(Path(sys.argv[1]), dict(zip(PARTS, counts, strict=True)))
