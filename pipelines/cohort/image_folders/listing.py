"""The way from a table's cell to an image: a file, a series by its UID, a study by its accession.

Nothing of a cell or a path is told: a fault is what is wrong and what to do, and its caller knows
the line.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from pipelines.sources.images.scans.dicom.folder import (
    Listed,
    chosen_series,
    files_below,
    headers_of,
    listed_in,
)
from pipelines.sources.images.scans.dicom.series import open_dicom
from pipelines.sources.images.scans.formats import open_scan
from pipelines.sources.images.scans.scan import Scan, ScanFault
from protocol.study.cohort.cohort import Image
from protocol.study.cohort.scans import SeriesRule

#: What the table's cell holds: a path below the folder, a SeriesInstanceUID, an AccessionNumber.
FoundBy: TypeAlias = Literal["file", "series", "accession"]
#: An accession number is no longer (DICOM's value representation SH).
LONGEST_ACCESSION = 16
_WILDCARDS = frozenset("*?\\")


class ImageListing(Protocol):
    """The images of a folder, found by what a table's cells hold."""

    def open(self, cell: str, expected: Image) -> Scan:
        """Returns the image that a cell names.

        Raises:
            ScanFault: there is none, or more than one; it is damaged, or not as expected.
            OSError: it cannot be read.
        """

    def place(self, cell: str) -> object:
        """Returns what is the same for two cells that name the same image."""

    def unnamed(self, cells: Iterable[str]) -> int:
        """Returns how many files, series or accessions of the folder none of the cells names."""


def listing_of(folder: Path, by: FoundBy) -> ImageListing:
    """Returns the listing of a folder.

    Raises:
        ScanFault: the folder is not there, or holds too many files.
        OSError: it cannot be read.
    """
    if not folder.is_dir():
        raise ScanFault(
            f"there is no folder {folder.name!r}, which data.folder names: it is looked for beside "
            "the site file, unless its path begins with /",
            "put it there, or mend data.folder",
            "no-file",
        )
    if by == "file":
        return _Files(folder)
    return _Numbered(listed_in(files_below(folder)), by)


def path_below(folder: Path, cell: str) -> Path:
    """Returns the file or folder that a cell names.

    Raises:
        ScanFault: it is not there, or does not lie below the folder.
    """
    written = cell.replace("\\", "/")
    if written.startswith("/") or "\x00" in written or ".." in written.split("/"):
        raise ScanFault(
            "a path that does not begin in data.folder",
            "write it from that folder on, without ..",
            "image-outside-the-folder",
        )
    path = folder / written
    if not path.exists():
        if _has_dicom_beside(path):
            raise ScanFault(
                "the NIfTI is not there, though its DICOM is",
                "convert it, or name the folder of its DICOM series",
                "dicom-without-nifti",
            )
        raise ScanFault(
            "the file is not there", "put it there, or take the line out", "image-not-there"
        )
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ScanFault(
            "a link that leads out of data.folder",
            "copy the file, or name a folder above both",
            "image-outside-the-folder",
        )
    return path


def _has_dicom_beside(path: Path) -> bool:
    """Whether the folder of a NIfTI that is missing, or one named as it, holds DICOM."""
    stem = path.name.removesuffix(".gz")
    if not stem.endswith(".nii") or not path.parent.is_dir():
        return False
    for folder in (path.parent / stem.removesuffix(".nii"), path.parent):
        if folder.is_dir():
            files = (each for each in sorted(folder.iterdir()) if each.is_file())
            if next(listed_in(files), None) is not None:
                return True
    return False


class _Files:
    """Images that a table names by their paths."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, cell: str, expected: Image) -> Scan:
        return open_scan(path_below(self._folder, cell), expected)

    def place(self, cell: str) -> object:
        return path_below(self._folder, cell).resolve()

    def unnamed(self, cells: Iterable[str]) -> int:
        named = set()
        for cell in cells:
            try:
                named.add(path_below(self._folder, cell))
            except ScanFault:
                continue
        count = 0
        for path in files_below(self._folder):
            if path not in named and path.parent not in named:
                count += 1
        return count


class _Numbered:
    """Images that a table names by the numbers in their headers."""

    def __init__(self, files: Iterable[Listed], by: Literal["series", "accession"]) -> None:
        self._by = by
        self._files: dict[str, list[Listed]] = {}
        for each in files:
            number = each.series if by == "series" else each.accession
            self._files.setdefault(number, []).append(each)

    def open(self, cell: str, expected: Image) -> Scan:
        chosen = self._chosen(cell, expected.series)
        return open_dicom(headers_of(each.path for each in chosen), expected)

    def _chosen(self, cell: str, rule: SeriesRule | None) -> list[Listed]:
        if self._by == "accession":
            _require_accession(cell)
        found = self._files.get(cell, [])
        if not found:
            raise ScanFault(
                f"no image of the folder has this {_NUMBERS[self._by]}",
                "export its images into data.folder, or take the line out",
                "image-not-there",
            )
        studies = {each.study for each in found}
        if len(studies) > 1:
            raise ScanFault(
                f"{len(studies)} studies under one {_NUMBERS[self._by]}",
                "name the series itself in the table (data.by: series)",
                "studies-under-one-number",
            )
        series = chosen_series([(e.series, e.modality, e.description) for e in found], rule)
        return [each for each in found if each.series in series]

    def place(self, cell: str) -> object:
        return cell

    def unnamed(self, cells: Iterable[str]) -> int:
        return len(self._files.keys() - set(cells))


_NUMBERS = {"series": "SeriesInstanceUID", "accession": "AccessionNumber"}


def _require_accession(cell: str) -> None:
    if len(cell) > LONGEST_ACCESSION:
        raise ScanFault(
            f"an accession number longer than {LONGEST_ACCESSION} characters, which DICOM cuts",
            "write the number as the images have it, or name series (data.by: series)",
        )
    if _WILDCARDS & set(cell):
        raise ScanFault("an accession number with *, ? or \\", "write one number a line")
