"""Folders of images with a table of labels, and what reads them."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.cohort.image_folders.folder import ImageFolder
from pipelines.cohort.loading import load_cohort
from pipelines.records import Records
from pipelines.sources.source import RecordFile
from protocol.study.cohort.cohort import Image, ImageCohort
from protocol.study.cohort.labels import BinaryLabel
from tests.support.images.nifti_files import write_nifti

SHAPE = (4, 5, 3)


def cohort(label: Any = None, columns: Sequence[Any] = (), **image: Any) -> ImageCohort:
    """Returns a contract of small volumes."""
    settings = {"shape": SHAPE, "range": (-2000, 4000), "centre": 0, "scale": 1}
    return ImageCohort(
        kind="images",
        patient_key="patient",
        label=label or BinaryLabel(positive=("ill",), negative=("well",)),
        image=Image(**settings | image),
        parts=("train", "test"),
        columns=tuple(columns),
    )


def volume(number: int, sides: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Returns voxels that differ from those of any other number."""
    return (np.arange(np.prod(sides)).reshape(sides) + 100 * number).astype(np.int16)


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Writes a table as CSV."""
    listed = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)
    return path


def lines(count: int) -> list[dict[str, Any]]:
    """Returns lines of that many volumes, which ``write_scans`` writes."""
    return [
        {
            "patient": f"P{number}",
            "image": f"s{number}.nii.gz",
            "labels": "ill" if number % 2 else "well",
            "part": "test" if number % 3 == 2 else "train",
        }
        for number in range(count)
    ]


def write_scans(home: Path, count: int = 6) -> list[dict[str, Any]]:
    """Writes volumes and their table, ``labels.csv``; returns its lines."""
    for number in range(count):
        write_nifti(home / "scans" / f"s{number}.nii.gz", volume(number))
    rows = lines(count)
    write_table(home / "labels.csv", rows)
    return rows


def folder_of(home: Path, **settings: Any) -> ImageFolder:
    """Returns the source of ``scans`` and ``labels.csv``."""
    return ImageFolder(
        folder=home / "scans", labels=RecordFile(path=home / "labels.csv"), **settings
    )


def load(
    home: Path, contract: ImageCohort | None = None, keep: Sequence[str] = (), **settings: Any
) -> Records:
    """Returns the records of a folder."""
    return load_cohort(contract or cohort(), folder_of(home, **settings), site="north", keep=keep)
