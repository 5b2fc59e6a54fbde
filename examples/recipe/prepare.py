"""Writes what the study reads: three hospitals' images, and the study with a wheel's digest.

Usage:  python examples/recipe/prepare.py WHEEL TO_FOLDER

The images are the handwritten digits that scikit-learn ships, 8 pixels a side, each in place of a
patient; the label says whether the digit is odd. The wheel is copied beside the study.
"""

import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

HOSPITALS = ("east", "north", "west")
#: Images of each part.
PARTS = {"train": 90, "test": 60}
_STUDY = Path(__file__).parent / "study.yaml"


def write_records(folder: Path) -> None:
    """Writes a file of images for each hospital."""
    digits = load_digits()
    order = iter(np.random.default_rng(1).permutation(len(digits.target)))
    for hospital in HOSPITALS:
        arrays = {}
        for part, count in PARTS.items():
            own = [next(order) for _ in range(count)]
            arrays[f"{part}_images"] = digits.images[own].astype(np.uint8)
            arrays[f"{part}_labels"] = (digits.target[own] % 2).astype(np.uint8)
        np.savez_compressed(folder / f"{hospital}.npz", **arrays)


def write_study(wheel: Path, folder: Path) -> Path:
    """Writes the study with the digest of a wheel, and the wheel beside it; returns its file."""
    shutil.copy(wheel, folder)
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    text = _STUDY.read_text(encoding="utf-8").replace("0" * 64, found)
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return folder / "study.yaml"


if __name__ == "__main__":
    to = Path(sys.argv[2])
    to.mkdir(parents=True, exist_ok=True)
    write_records(to)
    write_study(Path(sys.argv[1]), to)
