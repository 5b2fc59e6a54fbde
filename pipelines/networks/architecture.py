"""Facts about a network beside its settings, and modules that hold MONAI's own as parts."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn

from protocol.errors import StudyRefused
from protocol.study.task.networks.network import ImageNetwork, NetworkSettings

#: An encoded record's shape: (width,) for a table's row, (1, sides ...) for an image.
RecordShape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network's builder, and the engine that computes its gradients.

    Attributes:
        build: of the study's record of the network, the shape of an encoded record, and how many
            numbers come out for it, or for each of its pixels. Raises StudyRefused where the
            network does not fit such records.
        engine: the name of the fastest right engine (``pipelines.gradients.engines``), by
            ``python -m tests.bench``.
    """

    build: Callable[[NetworkSettings, RecordShape, int], nn.Module]
    engine: str


def image_sides(
    settings: NetworkSettings, shape: RecordShape, *, least: int = 1, multiple: int = 1
) -> tuple[int, ...]:
    """Returns the sides of an image.

    Args:
        settings: of the network, which names it in messages.
        shape: of an encoded record.
        least: the fewest pixels that a side may have.
        multiple: what every side must be a multiple of.

    Raises:
        StudyRefused: the records are tables, or images with other axes or sides than the network
            takes.
    """
    if len(shape) == 1:
        raise StudyRefused(f"task.network: {settings.target} needs a cohort of kind images")
    sides = shape[1:]
    asked = settings.spatial_dims if isinstance(settings, ImageNetwork) else None
    if asked not in (None, len(sides)):
        raise StudyRefused(
            f"task.network.spatial_dims: {asked}, but the cohort's images have {len(sides)}"
        )
    if min(sides) < least:
        raise StudyRefused(
            f"task.network: {settings.target} needs images of {least} pixels a side or more, "
            f"got {sides}"
        )
    if any(side % multiple for side in sides):
        raise StudyRefused(
            f"task.network: {settings.target} needs sides that are multiples of {multiple}, "
            f"got {sides}"
        )
    return sides


#: What MONAI and torch say, as a pattern; the arguments of which the first that a network has is
#: named; and what people read instead.
_MISFITS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        r"num_channels \((\d+)\) must be divisible by num_groups \((\d+)\)",
        ("norm", "norm_name"),
        r"a layer has \1 channels, and \2 groups do not divide them: choose other channels, or "
        r"norm: [group, {num_groups: ...}] that divides those of every layer",
    ),
    (
        "more than 1 spatial element",
        ("norm", "norm_name"),
        "images of {sides} are down to one pixel in a layer, which instance norm cannot scale: "
        "take fewer layers, smaller strides, a group norm or larger images",
    ),
    (
        "Sizes of tensors must match|broadcast|size of tensor",
        ("upsample_kernel_size", "strides"),
        "images of {sides} do not come back to their size level by level: choose sides that are "
        "multiples of all strides multiplied (of 2 for each level below the first, where there "
        "are none to set); an upsample_kernel_size is the strides without the first",
    ),
    (
        "padding value should not be negative",
        ("upsample_kernel_size", "strides"),
        "a stride is too large for its kernel: take smaller strides or a larger kernel_size",
    ),
)


def misfit(settings: NetworkSettings, shape: RecordShape, error: Exception) -> str:
    """Returns why a network cannot be built for records of a shape: its key, and plain words.

    Args:
        settings: of the network.
        shape: of an encoded record.
        error: what MONAI or torch raised. Its words are quoted only where none of ours fit.
    """
    said = str(error).partition("\n")[0]
    sides = " x ".join(map(str, shape[1:] or shape))
    for pattern, arguments, words in _MISFITS:
        found = re.search(pattern, said)
        if found:
            own = [each for each in arguments if each in type(settings).model_fields]
            key = ".".join(["task.network", *own[:1]])
            return f"{key}: {settings.target}: {found.expand(words).replace('{sides}', sides)}"
    return (
        f"task.network: {settings.target} cannot be built with these arguments for records of "
        f"{sides}: compare them with its line in docs/study.md (MONAI says: {said!r:.200})"
    )


class FirstOutput(nn.Module):
    """A network that gives its hidden states too, without them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        """Returns what the network gives first."""
        found: Tensor = self.network(features)[0]
        return found


class SummedOutputs(nn.Module):
    r"""Late fusion: the sum of what ``image`` and ``table`` make of a record's image and columns.

    Args:
        image: maps (records, 1, \*sides) to (records, outputs).
        table: maps (records, width) to (records, outputs).
        image_shape: of one image, with its channel.
    """

    def __init__(self, image: nn.Module, table: nn.Module, image_shape: RecordShape) -> None:
        super().__init__()
        self.image, self.table = image, table
        self._shape, self._pixels = image_shape, math.prod(image_shape)

    def forward(self, features: Tensor) -> Tensor:
        """Returns (records, outputs) of (records, pixels + width)."""
        pixels, numbers = features[:, : self._pixels], features[:, self._pixels :]
        found: Tensor = self.image(pixels.reshape(-1, *self._shape)) + self.table(numbers)
        return found
