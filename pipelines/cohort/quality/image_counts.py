"""Images of a source, counted by their headers, and as a network sees them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipelines.cohort.inspection.prepared_images import ImageInspection, inspect_images
from pipelines.records import Records, ScanNotes
from pipelines.sources.faults.small_counts import ShownCount, shown, shown_part, told
from protocol.study.cohort.cohort import ImageCohort


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """The images of a file: the sides that they have there, and what they become.

    ``preprocessing`` names the transforms, ``stored_bytes`` what the prepared images take of the
    folder for temporary files; 0 where they are few enough for memory. ``scans`` are the counts
    of images with headers, see ``scan_counts``; empty for others.
    """

    sides: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    preprocessing: tuple[str, ...]
    stored_bytes: int
    scans: Mapping[str, Any] = field(default_factory=dict)
    inspection: ImageInspection | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the counts of the prepared images as they are shown."""
        found = self.inspection
        if found is None:
            return {}
        return {
            name: shown_part(count, found.count)
            for name, count in (
                ("blank", found.blank),
                ("repeated", found.repeated),
                ("empty_masks", found.empty_masks),
            )
        } | {"brightness": found.brightness.to_json()}


def scan_counts(noted: ScanNotes) -> dict[str, Any]:
    """Returns the counts of images with headers as they are shown, those of a kind together."""
    return {
        name: _shown_kinds(value) if isinstance(value, dict) else told(value)
        for name, value in asdict(noted).items()
    }


def _shown_kinds(counts: Mapping[str, int]) -> dict[str, ShownCount]:
    """Returns counts whose sum is known as they are shown."""
    of_all = {"": sum(counts.values())}
    found = shown({**counts, **of_all}, [("", tuple(counts))])
    return {name: found[name] for name in counts}


def image_counts(records: Records, cohort: ImageCohort) -> ImageCounts:
    """Returns the counts of the images that some records hold, which are read once."""
    size = math.prod(records.features.shape) * np.dtype(np.float32).itemsize
    return ImageCounts(
        sides=records.noted.sides,
        shape=cohort.image.shape,
        preprocessing=tuple(each.target for each in cohort.image.preprocessing),
        stored_bytes=size if records.is_stored else 0,
        scans={} if records.noted.scans is None else scan_counts(records.noted.scans),
        inspection=inspect_images(records, cohort) if len(records) else None,
    )
