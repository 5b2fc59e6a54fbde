"""Writes the diabetes records that scikit-learn ships as the one table that study.yaml reads.

Usage:  python examples/diabetes-progression/prepare.py TO.csv

Efron et al. 2004, "Least angle regression": 442 patients, ten measurements at the beginning, and
the progression of the disease a year later. ``hospital`` assigns each patient to a hospital at
random, by a fixed seed; ``part`` makes every fourth patient of a hospital a test patient.
"""

import sys

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes

HOSPITALS = ("east", "north", "west")


def table() -> pd.DataFrame:
    """Returns the patients with the columns progression, hospital and part."""
    records = load_diabetes(scaled=False, as_frame=True)
    owner = np.random.default_rng(1).permutation(len(records.data)) % len(HOSPITALS)
    found = records.data.assign(
        progression=records.target, hospital=[HOSPITALS[each] for each in owner]
    )
    place = found.groupby("hospital").cumcount()
    return found.assign(part=np.where(place % 4 == 3, "test", "train"))


if __name__ == "__main__":
    table().to_csv(sys.argv[1], index=False)
