"""Preprocessing: a study's deterministic transforms, applied to each image once, when it is read.

Rules:

1. An image's result follows from the image and the study alone: not from what is read beside it,
   nor from the number of threads.
2. A spatial transform is applied to an image's mask too, by the nearest pixel: classes stay whole.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.transforms.listed_transforms import made, plain_tensors
from protocol.errors import CohortRefused
from protocol.study.cohort.preprocessing import CropForegroundd, PreprocessingSettings

Floats = NDArray[np.float32]


class Preprocessor:
    """Prepares images as a study says.

    Args:
        settings: the transforms, in their order.
        axes: the number of spatial axes of an image.
        masks: whether each image has a mask.
    """

    def __init__(
        self, settings: Sequence[PreprocessingSettings], axes: int, *, masks: bool
    ) -> None:
        self._listed = [(each, made(each, axes, masks=masks)) for each in settings]

    def __call__(self, image: Floats, mask: Floats | None = None) -> tuple[Floats, Floats | None]:
        r"""Returns a new image, and its mask where it has one.

        Args:
            image: (\*sides,) numbers; not changed.
            mask: (\*sides,) numbers of classes.

        Raises:
            CohortRefused: the transforms leave nothing of it, or no finite numbers. The reason
                names a transform, never a value.
        """
        import torch

        # A copy: some of MONAI's transforms work in place.
        given: Any = {"image": torch.from_numpy(image[None].copy())}
        if mask is not None:
            given["mask"] = torch.from_numpy(mask[None].copy())
        with plain_tensors(), _one_thread():
            for settings, transform in self._listed:
                if isinstance(settings, CropForegroundd) and not bool((given["image"] > 0).any()):
                    raise CohortRefused(
                        "no pixel is above 0, so CropForegroundd leaves nothing of it; take the "
                        "image out, or amend the study's centre or preprocessing"
                    )
                given = transform(given)
        found = np.ascontiguousarray(given["image"].numpy()[0], dtype=np.float32)
        if not np.isfinite(found).all():
            raise CohortRefused(
                "the study's preprocessing leaves a number of it that is not finite; amend the "
                "study's scale or preprocessing"
            )
        return found, None if mask is None else np.ascontiguousarray(given["mask"].numpy()[0])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Lets torch use one thread, so that sums have one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
