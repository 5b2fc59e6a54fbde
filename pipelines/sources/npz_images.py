r"""Images: an npz in the MedMNIST layout in, encoded ``Records`` out.

For every part the file holds ``<part>_images`` (records, \*shape) and ``<part>_labels``
(records,), (records, 1) or (records, findings), or a mask's own array, and ``<part>_<event>``
of survival; with a patient key also ``<part>_<patient_key>``; what split or partition need,
``<part>_<column>``.

Rules:

1. Nothing is unpickled, and no array is allocated before its declared size
   was checked: a small file that unpacks to a huge one is refused.
2. Pixels are ``(value - centre) / scale`` of the contract; a value outside its
   range is refused.
"""

import io
import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import (
    EncodingNotes,
    Records,
    longest_observed,
    number_patients,
    patient_token,
)
from pipelines.sources.csv_table import unreadable
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.labels import (
    BinaryLabel,
    ClassLabel,
    FindingsLabel,
    MaskLabel,
    NumberLabel,
    SurvivalLabel,
    signed_times,
)
from protocol.study.cohort.vocabulary import canonical_token

#: All arrays of one file together, unpacked.
MAX_BYTES = 8 * 10**9
#: What damaged archives and arrays raise, and nothing else does.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError, ValueError, TypeError,
    IndexError, EOFError, MemoryError, RuntimeError,
)  # fmt: skip


def load_images(path: Path, cohort: ImageCohort, *, site: str, keep: Sequence[str] = ()) -> Records:
    """Returns every image of the declared parts, in the order of the parts.

    Raises:
        CohortRefused: not an npz, truncated or too large; an array is missing
            or has the wrong type, shape or length; a pixel or label does not fit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            reader = _Reader(archive, cohort, site)
            parts = [reader.part(part, keep) for part in cohort.parts]
    except zipfile.BadZipFile as error:
        raise CohortRefused(
            f"site {site}: the file of records is not an npz, or is cut short; export it again"
        ) from error
    except OSError as error:
        raise CohortRefused(unreadable(site, path, error)) from error
    return _assemble(parts, cohort, keep)


class _Reader:
    """Reads and checks the arrays of one archive."""

    def __init__(self, archive: zipfile.ZipFile, cohort: ImageCohort, site: str) -> None:
        self._archive, self._cohort, self._site = archive, cohort, site
        listed = archive.namelist()
        self._names = {name.removesuffix(".npy") for name in listed if name.endswith(".npy")}
        total = sum(info.file_size for info in archive.infolist())
        if total > MAX_BYTES:
            raise self._refused(f"unpacks to {total} bytes, the limit is {MAX_BYTES}")

    def part(self, part: str, keep: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Returns images, labels, keys and kept columns of one part."""
        images = self._images(f"{part}_images")
        count = len(images)
        arrays: dict[str, NDArray[Any]] = {
            "images": images,
            "labels": self._labels(part, count),
        }
        if self._cohort.patient_key != "row":
            keys = self._column(f"{part}_{self._cohort.patient_key}", count)
            tokens = [patient_token(str(key)) for key in keys.tolist()]
            if any(token in ("", "nan", "None") for token in tokens):
                raise self._refused(
                    f"array '{part}_{self._cohort.patient_key}': an entry holds no patient key"
                )
            arrays["keys"] = np.array(tokens, dtype=np.str_)
        for name in keep:
            if name == "part":
                arrays[name] = np.full(count, canonical_token(part))
            else:
                values = self._column(f"{part}_{name}", count).tolist()
                arrays[name] = np.array([canonical_token(value) for value in values], dtype=np.str_)
        return arrays

    def _images(self, name: str) -> NDArray[np.float32]:
        image = self._cohort.image
        pixels = self._array(name)
        if pixels.dtype.kind not in "buif":
            raise self._refused(f"array {name!r} holds {pixels.dtype}, expected numbers")
        if pixels.shape[1:] != image.shape:
            raise self._refused(
                f"array {name!r}: images of shape {pixels.shape[1:]}, the contract declares "
                f"{image.shape}"
            )
        low, high = image.range
        if pixels.size and not (pixels.min() >= low and pixels.max() <= high):  # NaN fails too
            raise self._refused(
                f"array {name!r}: a pixel is outside the range [{low:g}, {high:g}], or NaN; amend "
                "the contract's range, or mend the images"
            )
        scaled = (pixels.astype(np.float32) - np.float32(image.centre)) / np.float32(image.scale)
        return scaled[:, None]

    def _labels(self, part: str, count: int) -> NDArray[np.float32]:
        label, name = self._cohort.label, f"{part}_labels"
        if isinstance(label, MaskLabel):
            return self._masks(f"{part}_{label.mask}", label, count)
        if isinstance(label, FindingsLabel):
            return self._findings(name, label, count)
        if isinstance(label, NumberLabel):
            numbers = self._numbers(name, label, count)
            return ((numbers - label.centre) / label.scale).astype(np.float32)
        if isinstance(label, SurvivalLabel):
            times = self._numbers(name, label, count)
            return signed_times(times, self._meanings(f"{part}_{label.event}", label, count))
        return self._meanings(name, label, count).astype(np.float32)

    def _meanings(
        self, name: str, label: BinaryLabel | ClassLabel | SurvivalLabel, count: int
    ) -> NDArray[np.float64]:
        meaning = label.meaning
        tokens = [canonical_token(value) for value in self._column(name, count).tolist()]
        bad = [place for place, token in enumerate(tokens) if token not in meaning]
        if bad:
            more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            raise self._refused(
                f"array {name!r}, entry {bad[0]}{more}: a label outside the vocabulary; it must "
                f"be one of {', '.join(meaning)}"
            )
        return np.array([meaning[token] for token in tokens])

    def _findings(self, name: str, label: FindingsLabel, count: int) -> NDArray[np.float32]:
        """Returns (records, findings) zeros and ones."""
        values = self._array(name)
        if values.shape != (count, len(label.findings)):
            raise self._refused(
                f"array {name!r} has shape {values.shape}, expected "
                f"{(count, len(label.findings))}: a column for each finding"
            )
        columns = []
        for place, (title, finding) in enumerate(label.findings.items()):
            tokens = [canonical_token(value) for value in values[:, place].tolist()]
            bad = [row for row, token in enumerate(tokens) if token not in finding.meaning]
            if bad:
                raise self._refused(
                    f"array {name!r}, entry {bad[0]}: finding {title!r} has a value outside its "
                    f"vocabulary; it must be one of {', '.join(finding.meaning)}"
                )
            columns.append([finding.meaning[token] for token in tokens])
        return np.array(columns, dtype=np.float32).T

    def _masks(self, name: str, label: MaskLabel, count: int) -> NDArray[np.float32]:
        """Returns (records, sides) numbers of classes."""
        masks = self._array(name)
        if masks.dtype.kind not in "bui":
            raise self._refused(f"array {name!r} holds {masks.dtype}, expected whole numbers")
        expected = (count, *self._cohort.image.shape)
        if masks.shape != expected:
            raise self._refused(
                f"array {name!r} has shape {masks.shape}, expected {expected}: a mask of its "
                "image's size for each image"
            )
        known = {canonical_token(value): number for value, number in label.meaning.items()}
        values, places = np.unique(masks, return_inverse=True)
        tokens = [canonical_token(value) for value in values.tolist()]
        bad = [token for token in tokens if token not in known]
        if bad:
            first = int(
                np.argmax((masks == values[tokens.index(bad[0])]).reshape(count, -1).any(1))
            )
            raise self._refused(
                f"array {name!r}, entry {first}: a value outside the classes; it must be one of "
                f"{', '.join(known)}"
            )
        numbers = np.array([known[token] for token in tokens], dtype=np.float32)
        return numbers[places].reshape(expected)

    def _numbers(
        self, name: str, label: NumberLabel | SurvivalLabel, count: int
    ) -> NDArray[np.float64]:
        values = self._column(name, count)
        if values.dtype.kind not in "buif":
            raise self._refused(f"array {name!r} holds {values.dtype}, expected numbers")
        low, high = label.range
        values = values.astype(np.float64)
        if isinstance(label, NumberLabel) and label.outside == "clip":
            values = np.clip(values, low, high)
        if values.size and not (values.min() >= low and values.max() <= high):  # NaN fails too
            raise self._refused(
                f"array {name!r}: a number is outside the range [{low:g}, {high:g}], or NaN; amend "
                "the contract's range, or mend the array"
            )
        return values

    def _column(self, name: str, count: int) -> NDArray[Any]:
        values = self._array(name)
        if values.dtype.kind not in "buifU":
            raise self._refused(f"array {name!r} holds {values.dtype}, expected numbers or text")
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.shape != (count,):
            raise self._refused(
                f"array {name!r} has shape {values.shape}, expected one entry for each of the "
                f"{count} images"
            )
        return values

    def _array(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise self._refused(
                f"array {name!r} is missing; the file holds {', '.join(sorted(self._names)[:12])}"
            )
        try:
            array = _read_array(self._archive, f"{name}.npy")
        except _DAMAGE as error:
            raise self._refused(f"array {name!r} is damaged; export the file again") from error
        if array.ndim == 0:
            raise self._refused(f"array {name!r} is a single number")
        return array

    def _refused(self, what: str) -> CohortRefused:
        return CohortRefused(f"site {self._site}: {what}")


def _read_array(archive: zipfile.ZipFile, member_name: str) -> NDArray[Any]:
    info = archive.getinfo(member_name)
    with archive.open(info) as member:
        _check_header(member, info.file_size)
    with archive.open(info) as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


def _check_header(member: IO[bytes], size: int) -> None:
    """Refuses an array whose header asks for more memory than its file has bytes."""
    start = io.BytesIO(member.read(1 << 16))
    version = np.lib.format.read_magic(start)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(start)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(start)
    else:
        raise ValueError("a version of the npy format for structured arrays")
    needed = dtype.itemsize
    for side in shape:
        needed *= side
    if dtype.hasobject or needed != size - start.tell():
        raise ValueError("the header does not fit the bytes that follow it")


def _assemble(
    parts: Sequence[dict[str, NDArray[Any]]], cohort: ImageCohort, keep: Sequence[str]
) -> Records:
    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([part[name] for part in parts])

    features = joined("images")
    rows = np.arange(len(features), dtype=np.int64)
    keys = rows.astype(np.str_) if cohort.patient_key == "row" else joined("keys")
    patients, known = number_patients(keys)
    labels = joined("labels")
    if isinstance(cohort.label, SurvivalLabel):
        labels = longest_observed(labels, patients)
    return Records(
        features=features,
        labels=labels,
        patients=patients,
        patient_keys=tuple(known.tolist()),
        rows=rows,
        columns={name: joined(name) for name in keep},
        noted=EncodingNotes(read=len(features)),
    )
