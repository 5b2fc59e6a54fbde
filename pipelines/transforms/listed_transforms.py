"""MONAI's dictionary transforms, made of a study's settings, on plain tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class TransformRecord(Protocol):
    """The settings of one transform, as a study lists them."""

    @property
    def target(self) -> str:
        """MONAI's name of it."""

    @property
    def is_spatial(self) -> bool:
        """Whether it moves pixels, and so is applied to a mask too."""

    def arguments(self, axes: int) -> dict[str, Any]:
        """Returns the settings as MONAI takes them for images of so many axes."""


def made(settings: TransformRecord, axes: int, *, masks: bool) -> Any:
    """Returns MONAI's transform of that name, for the keys ``image`` and, where so, ``mask``.

    A mask is interpolated by the nearest pixel: classes stay whole.
    """
    from monai.transforms.croppad import dictionary as croppad
    from monai.transforms.intensity import dictionary as intensity
    from monai.transforms.spatial import dictionary as spatial

    modules = (croppad, spatial) if settings.is_spatial else (intensity,)
    module = next(each for each in modules if hasattr(each, settings.target))
    keys = ["image", "mask"] if masks and settings.is_spatial else ["image"]
    arguments = settings.arguments(axes)
    if settings.target == "RandAffined":
        arguments["mode"] = ["bilinear", "nearest"][: len(keys)]
    if settings.target == "Resized":
        # MONAI's other "nearest" takes pixels from half a pixel beside what the image shows.
        arguments["mode"] = [arguments["mode"], "nearest-exact"][: len(keys)]
    return getattr(module, settings.target)(keys=keys, **arguments)


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Lets MONAI give plain tensors, without the history that it keeps of each."""
    from monai.data.meta_obj import get_track_meta, set_track_meta

    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
