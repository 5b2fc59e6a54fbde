"""Entries of an npz's arrays, one for each image: labels, and columns of numbers or text."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.images.npz_arrays import NpzArrays, RefusedArray
from protocol.study.cohort.labels import (
    BinaryLabel,
    ClassLabel,
    FindingsLabel,
    NumberLabel,
    SurvivalLabel,
    signed_times,
)
from protocol.study.cohort.vocabulary import canonical_token

#: The name of the fault of an array that has not an entry for each image.
SHAPE = "array-of-another-shape"


class NpzEntries:
    """The entries of an archive's arrays.

    Args:
        arrays: of the archive.
        refused: see ``RefusedArray``.

    Raises:
        CohortRefused: of any method: an array is missing, of another shape or type, or an entry
            does not fit its label.
    """

    def __init__(self, arrays: NpzArrays, refused: RefusedArray) -> None:
        self._arrays, self._refused = arrays, refused

    def labels(
        self,
        part: str,
        label: BinaryLabel | ClassLabel | FindingsLabel | NumberLabel | SurvivalLabel,
        count: int,
    ) -> NDArray[np.float32]:
        """Returns the labels of a part: (records,), or (records, findings).

        Args:
            part: its name.
            label: what they mean.
            count: how many images the part has.
        """
        name = f"{part}_labels"
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
        tokens = [canonical_token(value) for value in self.column(name, count).tolist()]
        bad = [place for place, token in enumerate(tokens) if token not in meaning]
        if bad:
            more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            raise self._refused(
                "unknown-label",
                f"array {name!r}, entry {bad[0]}{more}: a label outside the vocabulary",
                f"it must be one of {', '.join(meaning)}",
            )
        return np.array([meaning[token] for token in tokens])

    def _findings(self, name: str, label: FindingsLabel, count: int) -> NDArray[np.float32]:
        """Returns (records, findings) zeros and ones."""
        values = self._arrays.whole(name)
        if values.shape != (count, len(label.findings)):
            raise self._refused(
                SHAPE,
                f"array {name!r} has shape {values.shape}, expected {(count, len(label.findings))}",
                "save a row for each image and a column for each finding",
            )
        columns = []
        for place, (title, finding) in enumerate(label.findings.items()):
            tokens = [canonical_token(value) for value in values[:, place].tolist()]
            bad = [row for row, token in enumerate(tokens) if token not in finding.meaning]
            if bad:
                raise self._refused(
                    "unknown-label",
                    f"array {name!r}, entry {bad[0]}: finding {title!r} has a value outside its "
                    "vocabulary",
                    f"it must be one of {', '.join(finding.meaning)}",
                )
            columns.append([finding.meaning[token] for token in tokens])
        return np.array(columns, dtype=np.float32).T

    def _numbers(
        self, name: str, label: NumberLabel | SurvivalLabel, count: int
    ) -> NDArray[np.float64]:
        values = self.column(name, count)
        if values.dtype.kind not in "buif":
            raise self._refused(
                "damaged-array",
                f"array {name!r} holds {values.dtype}, expected numbers",
                "save it as numbers",
            )
        low, high = label.range
        values = values.astype(np.float64)
        if isinstance(label, NumberLabel) and label.outside == "clip":
            values = np.clip(values, low, high)
        if values.size and not (values.min() >= low and values.max() <= high):  # NaN fails too
            raise self._refused(
                "outside-range",
                f"array {name!r}: a number is outside the range [{low:g}, {high:g}], or NaN",
                "amend the contract's range, or mend the array",
            )
        return values

    def column(self, name: str, count: int) -> NDArray[Any]:
        """Returns the (records,) numbers or texts of an array with one entry for each image."""
        values = self._arrays.whole(name)
        if values.dtype.kind not in "buifU":
            raise self._refused(
                "damaged-array",
                f"array {name!r} holds {values.dtype}, expected numbers or text",
                "save it as numbers or text",
            )
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.shape != (count,):
            raise self._refused(
                SHAPE,
                f"array {name!r} has shape {values.shape}, expected one entry for each of the "
                f"{count} images",
                "save one entry for each image",
            )
        return values
