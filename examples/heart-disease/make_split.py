"""Writes split.csv: FLamby's training and test rows of the four UCI Heart Disease files.

Usage: python make_split.py FOLDER_WITH_THE_FOUR_FILES > split.csv

FLamby drops the columns slope, ca and thal, then every row with a missing
value, and splits what is left with scikit-learn's ``train_test_split``
(seed 43, 34 % test), stratified by the label unless a class has two rows or
fewer. Rows are counted from 0 in the file as it stands.

Source: flamby/datasets/fed_heart_disease at edacf54d.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

CENTRES = ("cleveland", "hungarian", "switzerland", "va")
UNUSED = [10, 11, 12]


def centre_rows(file: Path) -> list[tuple[int, str]]:
    """Returns (row, part) of every row that FLamby uses, in the order of the file."""
    table = pd.read_csv(file, header=None, na_values="?").drop(columns=UNUSED).dropna()
    disease = (table[13] != 0).to_numpy()
    smallest = np.bincount(disease, minlength=2).min()
    _, test = train_test_split(
        np.arange(len(table)),
        test_size=0.34,
        train_size=0.66,
        random_state=43,
        shuffle=True,
        stratify=disease if smallest > 2 else None,
    )
    parts = np.full(len(table), "train", dtype="U5")
    parts[test] = "test"
    return list(zip(table.index.tolist(), parts.tolist(), strict=True))


def main(folder: Path) -> None:
    """Prints the index file of all four centres."""
    print("site,row,part")
    for centre in CENTRES:
        for row, part in centre_rows(folder / f"processed.{centre}.data"):
            print(f"{centre},{row},{part}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
