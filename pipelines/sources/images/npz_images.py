r"""Images: an npz in the MedMNIST layout in, encoded ``Records`` out.

For every part the file holds ``<part>_images`` (records, \*shape) and ``<part>_labels``
(records,), (records, 1) or (records, findings), or a mask's own array, and ``<part>_<event>``
of survival; with a patient key also ``<part>_<patient_key>``; the contract's columns, and what
split or partition need, ``<part>_<column>``.

Rules:

1. Values are ``(value - centre) / scale`` of the contract, then its preprocessing; a value outside
   the contract's range is refused.
2. Images and masks are read and prepared in pieces: memory holds a piece of them, and what the
   patients need (labels, keys, columns). Many are then stored in a file (``stored_rows``).
3. Of a contract with columns a record is one row of numbers: the prepared pixels, then the
   columns'.
"""

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import (
    EncodingNotes,
    Records,
    Rows,
    longest_observed,
    number_patients,
    patient_token,
)
from pipelines.sources.cells import Cells
from pipelines.sources.faults import refused, unreadable
from pipelines.sources.images.npz_arrays import NpzArrays, RefusedArray
from pipelines.sources.images.npz_columns import cells_of, encode_columns
from pipelines.sources.images.npz_entries import SHAPE, NpzEntries
from pipelines.sources.images.pixel_values import fits_range, mask_numbers, scaled
from pipelines.sources.images.prepared_images import PreparedImages
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.labels import (
    DatedLabel,
    MaskLabel,
    SurvivalLabel,
)
from protocol.study.cohort.vocabulary import canonical_token, kept_token

#: All arrays of one file together, unpacked.
MAX_BYTES = 256 * 10**9
#: So many numbers of images are read at once, or one image.
_NUMBERS = 1 << 20
_RESIZE = "save them in another size, or ask for a study that lists Resized or ResizeWithPadOrCropd"


def load_images(
    path: Path,
    cohort: ImageCohort,
    *,
    site: str,
    keep: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
) -> Records:
    """Returns every image of the declared parts, in the order of the parts.

    ``units`` says, by column beside the images, in which unit this hospital's numbers are.

    Raises:
        CohortRefused: not an npz, truncated or too large; an array is missing
            or has the wrong type, shape or length; a pixel or label does not fit.
        WorkspaceRefused: the prepared images do not fit on the disk of temporary files.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            reader = _Reader(archive, cohort, site)
            parts = [reader.part(part, keep) for part in cohort.parts]
            numbers, noted = None, EncodingNotes(read=sum(part.count for part in parts))
            if cohort.columns:
                cells = {part.name: part.cells for part in parts}
                numbers, noted = encode_columns(
                    cells, cohort, site=site, file=path.name, units=units
                )
            images, masks = reader.prepared(parts, numbers)
    except zipfile.BadZipFile as error:
        raise refused(
            site,
            "not-an-npz",
            "the file of records is not an npz, or is cut short",
            "export it again",
        ) from error
    except OSError as error:
        raise unreadable(site, path, error) from error
    noted = replace(noted, sides=tuple(sorted({part.sides for part in parts})))
    return _assemble(parts, images, masks, cohort, keep, noted)


@dataclass(frozen=True)
class _Part:
    """One part's index: how many images of which sides, and the arrays that describe them.

    ``cells`` are those of the contract's columns.
    """

    name: str
    count: int
    sides: tuple[int, ...]
    columns: Mapping[str, NDArray[Any]]
    cells: Mapping[str, Cells]


class _Reader:
    """Reads and checks the arrays of one archive."""

    def __init__(self, archive: zipfile.ZipFile, cohort: ImageCohort, site: str) -> None:
        self._cohort, self._site = cohort, site
        self._refused: RefusedArray = partial(refused, site)
        self._arrays = NpzArrays(archive, self._refused)
        self._entries = NpzEntries(self._arrays, self._refused)
        self._label = cohort.label if isinstance(cohort.label, MaskLabel) else None
        total = sum(info.file_size for info in archive.infolist())
        if total > MAX_BYTES:
            raise self._refused(
                "not-an-npz",
                f"unpacks to {total} bytes, the limit is {MAX_BYTES}",
                "save fewer or smaller images in it",
            )

    def part(self, part: str, keep: Sequence[str]) -> _Part:
        """Returns the index of one part: labels, keys and kept columns, no image."""
        count, *sides = self._image_form(f"{part}_images")
        arrays: dict[str, NDArray[Any]] = {}
        label = self._cohort.label
        if isinstance(label, MaskLabel):
            self._check_mask_form(f"{part}_{label.mask}", (count, *sides))
        elif not isinstance(label, DatedLabel):  # which no contract of images has
            arrays["labels"] = self._entries.labels(part, label, count)
        if self._cohort.patient_key != "row":
            keys = self._entries.column(f"{part}_{self._cohort.patient_key}", count)
            tokens = [patient_token(str(key)) for key in keys.tolist()]
            if any(token in ("", "nan", "None") for token in tokens):
                raise self._refused(
                    "no-patient-key",
                    f"array '{part}_{self._cohort.patient_key}': an entry holds no patient key",
                    "every record needs its patient, or privacy by patient cannot be kept",
                )
            arrays["keys"] = np.array(tokens, dtype=np.str_)
        for name in keep:
            if name == "part":
                arrays[name] = np.full(count, canonical_token(part))
            else:
                values = self._entries.column(f"{part}_{name}", count).tolist()
                arrays[name] = np.array([kept_token(value) for value in values], dtype=np.str_)
        cells = {
            column.name: cells_of(self._entries.column(f"{part}_{column.name}", count))
            for column in self._cohort.columns
        }
        return _Part(part, count, tuple(sides), arrays, cells)

    def prepared(
        self, parts: Sequence[_Part], numbers: NDArray[np.float32] | None
    ) -> tuple[Rows, Rows | None]:
        """Returns all parts' records, with prepared images, and their masks if any.

        Args:
            parts: of the archive.
            numbers: (records, width) of the columns beside the images; None where there are none.
        """
        count = sum(part.count for part in parts)
        with PreparedImages(count, self._cohort, numbers, site=self._site) as prepared:
            for part in parts:
                for images, masks in self._pieces(part, prepared):
                    prepared.write(images, masks)
            return prepared.rows()

    def _pieces(
        self, part: _Part, prepared: PreparedImages
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        """Yields some of a part's images, and their masks, at a time."""
        name, label, begin = f"{part.name}_images", self._label, 0
        at_once = max(1, _NUMBERS // math.prod(part.sides))
        masks = None if label is None else self._arrays.pieces(f"{part.name}_{label.mask}", at_once)
        for pixels in self._arrays.pieces(name, at_once):
            images, own = self._scaled(pixels, name), None
            if masks is not None and label is not None:
                own = self._classes(next(masks), f"{part.name}_{label.mask}", label, begin)
            yield self._preprocessed(prepared, images, own, name, begin)
            begin += len(pixels)
        if masks is not None:
            next(masks, None)  # the end, where its checksum is compared

    def _preprocessed(
        self,
        prepared: PreparedImages,
        images: NDArray[np.float32],
        masks: NDArray[np.float32] | None,
        name: str,
        begin: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        if not self._cohort.image.preprocessing:
            return images, masks
        found = np.empty((len(images), *self._cohort.image.shape), dtype=np.float32)
        own = None if masks is None else np.empty_like(found)
        for place, image in enumerate(images):
            mask = None if masks is None else masks[place]
            try:
                found[place], turned = prepared.prepared(image, mask)
            except CohortRefused as error:
                what, _, remedy = str(error).partition("; ")  # of transforms alone
                raise self._refused(
                    "image-of-another-size",
                    f"array {name!r}, entry {begin + place}: {what}",
                    remedy,
                ) from error
            if own is not None:
                own[place] = turned
        return found, own

    def _image_form(self, name: str) -> tuple[int, ...]:
        image = self._cohort.image
        shape, dtype = self._arrays.form(name)
        if dtype.kind not in "buif":
            raise self._refused(
                "damaged-array",
                f"array {name!r} holds {dtype}, expected numbers",
                "save it as numbers",
            )
        if not image.takes(shape[1:]):
            if not image.preprocessing:
                raise self._refused(
                    "image-of-another-size",
                    f"array {name!r}: images of shape {shape[1:]}, the contract declares "
                    f"{image.shape}",
                    _RESIZE,
                )
            raise self._refused(
                "image-of-another-size",
                f"array {name!r}: the study's preprocessing does not make images of shape "
                f"{image.shape} of these, of shape {shape[1:]}",
                _RESIZE,
            )
        return shape

    def _scaled(self, pixels: NDArray[Any], name: str) -> NDArray[np.float32]:
        image = self._cohort.image
        low, high = image.range
        if not fits_range(pixels, image):
            raise self._refused(
                "pixel-outside-range",
                f"array {name!r}: a pixel is outside the range [{low:g}, {high:g}], or NaN",
                "amend the contract's range, or mend the images",
            )
        return scaled(pixels, image)

    def _check_mask_form(self, name: str, expected: tuple[int, ...]) -> None:
        shape, dtype = self._arrays.form(name)
        if dtype.kind not in "bui":
            raise self._refused(
                "damaged-array",
                f"array {name!r} holds {dtype}, expected whole numbers",
                "save it as whole numbers",
            )
        if shape != expected:
            raise self._refused(
                SHAPE,
                f"array {name!r} has shape {shape}, expected {expected}",
                "save a mask of its image's size for each image",
            )

    def _classes(
        self, masks: NDArray[Any], name: str, label: MaskLabel, begin: int
    ) -> NDArray[np.float32]:
        """Returns (records, sides) numbers of classes."""
        numbers, unknown = mask_numbers(masks, label.meaning)
        if unknown.any():
            first = begin + int(np.argmax(unknown.reshape(len(masks), -1).any(1)))
            raise self._refused(
                "unknown-class",
                f"array {name!r}, entry {first}: a value outside the classes",
                f"it must be one of {', '.join(label.meaning)}",
            )
        return numbers


def _assemble(
    parts: Sequence[_Part],
    images: Rows,
    masks: Rows | None,
    cohort: ImageCohort,
    keep: Sequence[str],
    noted: EncodingNotes,
) -> Records:
    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([part.columns[name] for part in parts])

    rows = np.arange(len(images), dtype=np.int64)
    keys = rows.astype(np.str_) if cohort.patient_key == "row" else joined("keys")
    patients, known = number_patients(keys)
    labels = joined("labels") if masks is None else masks
    if isinstance(cohort.label, SurvivalLabel) and isinstance(labels, np.ndarray):
        labels = longest_observed(labels, patients)
    return Records(
        features=images,
        labels=labels,
        patients=patients,
        patient_keys=tuple(known.tolist()),
        rows=rows,
        columns={name: joined(name) for name in keep},
        noted=noted,
    )
