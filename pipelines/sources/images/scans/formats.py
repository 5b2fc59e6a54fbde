"""Formats of images, told by a file's first bytes and never by its name."""

import gzip
import zlib
from pathlib import Path

from pipelines.sources.faults import require_ordinary
from pipelines.sources.images.scans.dicom.folder import headers_in
from pipelines.sources.images.scans.dicom.header import is_dicom, read_header
from pipelines.sources.images.scans.dicom.series import open_dicom
from pipelines.sources.images.scans.nifti import is_nifti, open_nifti
from pipelines.sources.images.scans.pictures import is_picture, open_picture
from pipelines.sources.images.scans.scan import DAMAGED, Scan, ScanFault
from protocol.study.cohort.cohort import Image


def open_scan(path: Path, expected: Image) -> Scan:
    """Returns the image in a file, or in a folder of one DICOM series.

    Raises:
        ScanFault: it is none, is damaged, or not what the study expects.
        OSError: it cannot be read.
    """
    if path.is_dir():
        return open_dicom(headers_in(path, expected.series), expected)
    start = beginning(path)
    if is_dicom(start):  # before NIfTI, whose beginning a prefix of DICOM may hold
        return open_dicom([read_header(path)], expected)
    if is_nifti(start):
        return open_nifti(path, expected)
    if is_picture(start):
        return open_picture(path, expected)
    raise ScanFault(
        "it is no image that is read here", "export it as DICOM, NIfTI, PNG, JPEG or TIFF"
    )


def beginning(path: Path) -> bytes:
    """Returns a file's first bytes, unpacked where it is a gzip.

    Raises:
        ScanFault: the gzip is damaged.
        OSError: the file cannot be read.
    """
    require_ordinary(path)
    with path.open("rb") as file:
        start = file.read(256)
    if not start.startswith(b"\x1f\x8b"):
        return start
    try:
        with gzip.open(path, "rb") as packed:
            return packed.read(256)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise DAMAGED from None
