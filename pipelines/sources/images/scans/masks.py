"""Masks: a file of classes, one for each voxel of an image and in the same place."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.images.pixel_values import mask_numbers
from pipelines.sources.images.scans.dicom.header import DicomHeader, is_dicom, read_header
from pipelines.sources.images.scans.dicom.segmentation import (
    require_segmentation,
    segmentation_classes,
)
from pipelines.sources.images.scans.formats import beginning, open_scan
from pipelines.sources.images.scans.geometry import Turn, same_place
from pipelines.sources.images.scans.scan import Scan, ScanFault, VoxelGrid
from protocol.counted import counted
from protocol.study.cohort.cohort import Image
from protocol.study.cohort.labels import MaskLabel

#: Reads a mask's numbers of classes, turned as its image is.
MaskReader: TypeAlias = Callable[[], NDArray[np.float32]]


def open_mask(path: Path, scan: Scan, expected: Image, label: MaskLabel) -> MaskReader:
    """Returns what reads an image's mask; no pixel is read yet.

    Args:
        path: of a DICOM SEG, a NIfTI or a picture.
        scan: its image.
        expected: the study's image.
        label: the study's classes.

    Raises:
        ScanFault: it is no mask, or not of its image's size and place.
        OSError: it cannot be read.
    """
    if path.is_dir():
        files = [each for each in sorted(path.iterdir()) if each.is_file()]
        if len(files) != 1:
            raise ScanFault("a folder where a mask was expected", "name the mask's file")
        path = files[0]
    if is_dicom(beginning(path)):
        header = read_header(path)
        require_segmentation(header, label)
        if scan.native is None:
            raise ScanFault("its image is no DICOM", "name a mask in its image's own format")
        return partial(_segmentation, header, scan.native, expected, label)
    mask = open_scan(path, expected)
    if mask.sides != scan.sides:
        raise ScanFault(
            "its size is not that of its image",
            "export the mask on its own image",
            "mask-elsewhere",
        )
    if not same_place(scan.affine, mask.affine, scan.sides):
        raise ScanFault(
            "it lies elsewhere than its image",
            "export the mask on its own image, not moved",
            "mask-elsewhere",
        )
    return partial(_numbers, mask, label)


def _segmentation(
    header: DicomHeader, image: VoxelGrid, expected: Image, label: MaskLabel
) -> NDArray[np.float32]:
    found: NDArray[np.float32] = Turn(image, expected)(segmentation_classes(header, image, label))
    return found


def _numbers(mask: Scan, label: MaskLabel) -> NDArray[np.float32]:
    numbers, unknown = mask_numbers(mask.pixels(), label.meaning)
    if unknown.any():
        raise ScanFault(
            f"{counted(int(unknown.sum()), 'voxel')} outside the classes",
            f"they must be one of {', '.join(label.meaning)}",
            "unknown-class",
        )
    return numbers
