"""Prepared images, looked at as a network sees them: blank, repeated, how bright, masks empty.

Rules:

1. They are read in pieces, once; memory holds a digest and a mean of each.
2. What is said of them are counts; pictures are taken for the hospital's own page only.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.inspection.histograms import Histogram, histogram
from pipelines.records import Records
from pipelines.sources.faults import RecordFault
from pipelines.sources.faults.small_counts import part_of
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.labels import MaskLabel

#: So many numbers of images are in memory at once.
_NUMBERS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class ImageInspection:
    """Counts of prepared images: ``brightness`` counts their mean pixels, in the file's unit."""

    count: int
    blank: int
    repeated: int
    empty_masks: int
    brightness: Histogram


def inspect_images(records: Records, cohort: ImageCohort) -> ImageInspection:
    """Returns what the prepared images of some records are."""
    means: list[NDArray[np.float64]] = []
    digests: list[bytes] = []
    blank = empty = 0
    for pixels, labels in _pieces(records, cohort):
        flat = pixels.reshape(len(pixels), -1)
        means.append(flat.mean(axis=1, dtype=np.float64))
        blank += int((flat.min(axis=1) == flat.max(axis=1)).sum())
        digests += [hashlib.blake2b(np.ascontiguousarray(one).data, digest_size=16).digest()
                    for one in flat]  # fmt: skip
        if isinstance(cohort.label, MaskLabel):
            empty += int((labels.reshape(len(labels), -1).max(axis=1) == 0).sum())
    image = cohort.image
    mean = np.concatenate([np.zeros(0), *means]) * image.scale + image.centre
    _, inverse, times = np.unique(np.array(digests), return_inverse=True, return_counts=True)
    return ImageInspection(
        count=len(records),
        blank=blank,
        repeated=int((times[inverse] > 1).sum()) if digests else 0,
        empty_masks=empty,
        brightness=histogram("mean pixel of an image", mean, image.range),
    )


def _pieces(
    records: Records, cohort: ImageCohort
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    size = int(np.prod(cohort.image.shape))
    at_once = max(1, _NUMBERS // size)
    for begin in range(0, len(records), at_once):
        rows = records.features[begin : begin + at_once]
        yield rows.reshape(len(rows), -1)[:, :size], records.labels[begin : begin + at_once]


def image_remarks(found: ImageInspection) -> Iterator[RecordFault]:
    """Yields what may be wrong with prepared images."""
    if found.blank:
        yield RecordFault(
            name="blank-images",
            what=f"in {part_of(found.blank, found.count)} prepared images every pixel is the same",
            remedy="leave them out, or export them again",
        )
    if found.repeated:
        yield RecordFault(
            name="repeated-images",
            what=f"{part_of(found.repeated, found.count)} prepared images are equal to another in "
            "every pixel",
            remedy="write each image once; if two patients share one, one of them is wrong",
        )
    if found.empty_masks:
        yield RecordFault(
            name="empty-masks",
            what=f"{part_of(found.empty_masks, found.count)} masks hold no pixel of any class but "
            "the first",
            remedy="is nothing to be found there? Else export them again",
        )


def pictures_of(records: Records, cohort: ImageCohort, most: int = 12) -> list[NDArray[np.uint8]]:
    """Returns some prepared images as grey pictures; of a volume the slice in its middle.

    Each is stretched from its own darkest to its brightest pixel.
    """
    places = np.unique(np.linspace(0, len(records) - 1, min(most, len(records))).astype(np.int64))
    pictures = []
    for place in places.tolist():
        size = int(np.prod(cohort.image.shape))
        pixels = records.features[place : place + 1].reshape(-1)[:size]
        image = pixels.reshape(cohort.image.shape).astype(np.float64)
        if image.ndim == 3:
            image = image[:, :, image.shape[2] // 2]
        low, high = float(image.min()), float(image.max())
        pictures.append(np.round(255 * (image - low) / ((high - low) or 1.0)).astype(np.uint8))
    return pictures
