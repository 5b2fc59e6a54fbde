"""Folders of DICOM files: the series that lie in one, and the one that a study means."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.config import disable_value_validation

from pipelines.sources.images.scans.dicom.header import (
    DICOM_DAMAGE,
    DicomHeader,
    is_dicom,
    read_dataset,
    read_header,
)
from pipelines.sources.images.scans.quiet import quiet
from pipelines.sources.images.scans.scan import NoImage, ScanFault
from protocol.study.cohort.scans import SeriesRule

#: No folder of a hospital's images holds more files.
MAX_FILES = 2_000_000
_NAMES = [
    "SOPClassUID", "Modality", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber",
    "SeriesDescription", "Rows",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One file of a folder, and what it says of itself to be found by."""

    path: Path
    study: str
    series: str
    accession: str
    modality: str
    description: str


def files_below(folder: Path) -> Iterator[Path]:
    """Yields every file in a folder and below it, in the order of names; links are not followed.

    Raises:
        ScanFault: there are more than ``MAX_FILES``.
        OSError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    count = 0
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        for name in sorted(names):
            count += 1
            if count > MAX_FILES:
                raise ScanFault(f"the folder holds more than {MAX_FILES} files", "name a smaller")
            yield Path(place, name)


def listed_in(paths: Iterable[Path]) -> Iterator[Listed]:
    """Yields the DICOM images among some files; what is damaged or no image is passed over."""
    for path in paths:
        try:
            with path.open("rb") as file:
                start = file.read(132)
            if not is_dicom(start):
                continue
            found = read_dataset(path, _NAMES, pixels=False)
            with quiet(), disable_value_validation():
                if "Rows" in found:
                    yield Listed(
                        path=path,
                        study=str(found.get("StudyInstanceUID") or "").strip(),
                        series=str(found.get("SeriesInstanceUID") or "").strip(),
                        accession=str(found.get("AccessionNumber") or "").strip(),
                        modality=str(found.get("Modality") or "").strip(),
                        description=str(found.get("SeriesDescription") or "").strip(),
                    )
        except (ScanFault, *DICOM_DAMAGE):
            continue


def headers_of(paths: Iterable[Path]) -> list[DicomHeader]:
    """Returns the headers of the images among some files.

    Raises:
        ScanFault: one is damaged, or none is an image.
    """
    found, others = [], None
    for path in paths:
        with path.open("rb") as file:
            if not is_dicom(file.read(132)):
                continue
        try:
            found.append(read_header(path))
        except NoImage as other:
            others = other
    if not found:
        raise others or ScanFault(
            "there is no DICOM image in the folder", "name the folder of the series in the table"
        )
    return found


def headers_in(folder: Path, rule: SeriesRule | None) -> list[DicomHeader]:
    """Returns the headers of the series in a folder that the study means.

    Raises:
        ScanFault: there is no image, or several series and no rule that chooses.
        OSError: the folder cannot be read.
    """
    found = headers_of(path for path in sorted(folder.iterdir()) if path.is_file())
    chosen = set(chosen_series([(h.series, h.modality, h.description) for h in found], rule))
    return [header for header in found if header.series in chosen]


def chosen_series(
    files: Sequence[tuple[str, str, str]], rule: SeriesRule | None
) -> tuple[str, ...]:
    """Returns the series that a study means among files' (series, modality, description).

    Raises:
        ScanFault: none, or several; counts them.
    """
    sizes: dict[str, int] = {}
    fitting: dict[str, bool] = {}
    for series, modality, description in files:
        sizes[series] = sizes.get(series, 0) + 1
        fitting[series] = fitting.get(series, True) and _fits(modality, description, rule)
    left = [series for series in sizes if fitting[series]]
    if not left:
        raise ScanFault(
            f"none of {len(sizes)} series is of the modality and description that "
            "the study's image.series names",
            "name another study in the table, or take the line out",
        )
    if len(left) > 1 and (rule is None or rule.choose == "refuse"):
        raise ScanFault(
            f"{len(left)} series where one was expected",
            "name the series itself in the table, or ask for a study whose image.series says "
            "which one",
        )
    return (min(left, key=lambda series: (-sizes[series], series)),)


def _fits(modality: str, description: str, rule: SeriesRule | None) -> bool:
    if rule is None:
        return True
    if rule.modality is not None and modality != rule.modality:
        return False
    return rule.description is None or rule.description.casefold() in description.casefold()
