"""Draws the patients of four hospitals: an image, three columns and a diagnosis of each.

Usage:  python examples/late-fusion/make_patients.py TO_FOLDER

The image shows a round lesion, larger the worse, by a scanner whose brightness and noise are its
hospital's own. Age, haemoglobin and sex stand beside it. Half of a patient's risk lies in
the lesion, half in the columns: neither alone can tell. Each hospital gets an npz with all of it,
and a CSV with the columns alone. Seeds are fixed: every call draws the same.
"""

import sys
from pathlib import Path

import numpy as np

SIDE = 20
#: Hospital: what pixels are multiplied by, what is added, and the deviation of the noise.
SCANNERS = {
    "east": (1.0, 0.0, 0.2), "north": (0.8, 0.2, 0.3), "south": (1.2, 0.1, 0.4),
    "west": (1.1, -0.1, 0.3),
}  # fmt: skip
#: Patients of each part.
PARTS = {"train": 400, "test": 200}
#: How strongly the lesion, and the columns together, move the logit by a standard deviation.
STRENGTH = 2.2
#: Patients whose haemoglobin was not measured: an empty entry.
UNMEASURED = 0.05


def drawn(scanner: tuple[float, float, float], count: int, seed: int) -> dict[str, np.ndarray]:
    """Returns (count, 20, 20) images, the columns' arrays and (count,) labels."""
    random, (factor, shift, noise) = np.random.default_rng(seed), scanner
    lesion, age, anaemia = random.standard_normal((3, count))
    male = random.random(count) < 0.5
    columns = (age + anaemia + (male - 0.5)) / np.sqrt(2.25)
    logit = STRENGTH * (lesion + columns)
    pixels = factor * _discs(3.5 + lesion, random) + shift
    return {
        "images": (pixels + random.normal(0, noise, pixels.shape)).astype(np.float32),
        "age": np.clip(60 + 12 * age, 18, 100).round(),
        "haemoglobin": np.where(
            random.random(count) < UNMEASURED, np.nan, (130 - 15 * anaemia).round()
        ),
        "sex": np.where(male, "male", "female"),
        "labels": (random.random(count) < 1 / (1 + np.exp(-logit))).astype(np.uint8),
    }


def _discs(radius: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns (images, 20, 20) discs of these radii, somewhere in the middle, with soft edges."""
    centre = SIDE / 2 + random.uniform(-3, 3, size=(2, len(radius), 1, 1))
    down, right = np.indices((SIDE, SIDE))
    distance = np.hypot(down - centre[0], right - centre[1])
    return 1 / (1 + np.exp(2 * (distance - np.maximum(radius, 0)[:, None, None])))


def main(folder: Path) -> None:
    """Writes two files for each hospital."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, (hospital, scanner) in enumerate(SCANNERS.items()):
        arrays, lines = {}, ["part,age,haemoglobin,sex,ill"]
        for number, (part, count) in enumerate(PARTS.items()):
            found = drawn(scanner, count, 10 * place + number)
            arrays |= {f"{part}_{name}": values for name, values in found.items()}
            columns = (found[name] for name in ("age", "haemoglobin", "sex", "labels"))
            rows = zip(*columns, strict=True)
            lines += [",".join(map(str, (part, *row))) for row in rows]
        np.savez_compressed(folder / f"{hospital}.npz", **arrays)
        (folder / f"{hospital}.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
