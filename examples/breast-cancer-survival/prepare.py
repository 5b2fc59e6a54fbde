"""Joins the files of Fed-TCGA-BRCA into the one table that study.yaml reads.

Usage:  python examples/breast-cancer-survival/prepare.py FOLDER_WITH_THE_FILES TO.csv

FOLDER holds brca.csv and train_test_split.csv of FLamby's fed_tcga_brca (README.md). Regions and
parts are FLamby's own: ``train_3`` is a training patient of the fourth region.
"""

import sys
from pathlib import Path

import pandas as pd

REGIONS = ("region-0", "region-1", "region-2", "region-3", "region-4", "region-5")


def joined(folder: Path) -> pd.DataFrame:
    """Returns brca.csv, with the patients of the split, and the columns region and part."""
    records = pd.read_csv(folder / "brca.csv")
    split = pd.read_csv(folder / "train_test_split.csv")
    table = records.merge(split, on="pid", validate="many_to_one").drop_duplicates()
    table["part"], number = table["fold"], table["fold2"].str.rsplit("_", n=1).str[1].astype(int)
    table["region"] = [REGIONS[each] for each in number]
    return table.drop(columns=["fold", "fold2"])


if __name__ == "__main__":
    joined(Path(sys.argv[1])).to_csv(sys.argv[2], index=False)
