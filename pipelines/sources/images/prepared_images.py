"""Prepared images: one record after the other becomes a row, in memory or in a file.

Memory holds what is written at a time, and never all of it where there is much (``stored_rows``).
"""

from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Rows
from pipelines.sources.images.stored_rows import RowWriter
from pipelines.transforms.preprocessing import Preprocessor
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.labels import MaskLabel

Floats = NDArray[np.float32]


class PreparedImages:
    """Takes images, and masks where the label is one, and gives the records' rows.

    A context: when it ends, files that no returned row holds are let go.

    Args:
        count: how many images will come.
        cohort: the contract.
        numbers: (count, width) of the columns beside the images; None where there are none.
        site: whose they are, for messages.

    Raises:
        WorkspaceRefused: there is no room for the files.
    """

    def __init__(self, count: int, cohort: ImageCohort, numbers: Floats | None, *, site: str):
        image, masks = cohort.image, isinstance(cohort.label, MaskLabel)
        self._shape, self._form, self._numbers = image.shape, cohort.record_form, numbers
        self._prepare = (
            Preprocessor(image.preprocessing, len(image.shape), masks=masks)
            if image.preprocessing
            else None
        )
        self._written = 0
        self._rows = RowWriter(count, self._form, np.dtype(np.float32), site=site)
        self._masks: RowWriter | None = None
        if masks:  # at most a hundred classes
            try:
                self._masks = RowWriter(count, image.shape, np.dtype(np.uint8), site=site)
            except BaseException:
                self._rows.close()
                raise

    def __enter__(self) -> "PreparedImages":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for writer in (self._rows, self._masks):
            if writer is not None:
                writer.close()

    def prepared(self, image: Floats, mask: Floats | None) -> tuple[Floats, Floats | None]:
        r"""Returns (\*shape,) what the study's preprocessing makes of a scaled image and its mask.

        Raises:
            CohortRefused: it leaves nothing of it, or no finite numbers.
        """
        return (image, mask) if self._prepare is None else self._prepare(image, mask)

    def write(self, images: Floats, masks: Floats | None) -> None:
        r"""Takes the next records: (records, \*shape) prepared images, and as many masks.

        Raises:
            WorkspaceRefused: the disk fails.
        """
        rows = images.reshape(len(images), -1)
        if self._numbers is not None:
            own = self._numbers[self._written : self._written + len(images)]
            rows = np.concatenate([rows, own], axis=1)
        self._rows.write(rows.reshape(len(images), *self._form))
        self._written += len(images)
        if self._masks is not None and masks is not None:
            self._masks.write(masks)

    def rows(self) -> tuple[Rows, Rows | None]:
        """Returns the records' rows, and their masks where the label is one."""
        return self._rows.rows(), None if self._masks is None else self._masks.rows()
