"""Writes the handwritten digits that scikit-learn ships as the one table that study.yaml reads.

Usage:  python examples/digits/prepare.py TO.csv

Each row is one digit by one writer, 64 numbers from 0 to 16, and stands for a patient. ``hospital``
assigns each row to a hospital at random, by a fixed seed; ``part`` makes every fourth row of a
hospital a test row.
"""

import sys

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

HOSPITALS = ("east", "north", "south", "west")


def table() -> pd.DataFrame:
    """Returns the rows with the columns digit, hospital and part."""
    digits = load_digits()
    pixels = pd.DataFrame(
        digits.data.astype(int), columns=[f"p{place}" for place in range(digits.data.shape[1])]
    )
    owner = np.random.default_rng(1).permutation(len(pixels)) % len(HOSPITALS)
    found = pixels.assign(digit=digits.target, hospital=[HOSPITALS[each] for each in owner])
    place = found.groupby("hospital").cumcount()
    return found.assign(part=np.where(place % 4 == 3, "test", "train"))


if __name__ == "__main__":
    table().to_csv(sys.argv[1], index=False)
