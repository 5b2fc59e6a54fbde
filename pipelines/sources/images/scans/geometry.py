"""Axes of a volume: turned, by flips and exchanges alone, to those that a study names.

Rules:

1. No voxel is interpolated. An oblique volume takes the nearest axes (nibabel's
   ``io_orientation``).
2. An image of two axes is rows and columns as it is stored, unless its study names an orientation.
"""

from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from pipelines.sources.images.scans.scan import Affine, ScanFault, VoxelGrid
from protocol.study.cohort.cohort import Image


class Turn:
    """The way from voxels as they are stored, (i, j, k), to the axes of a study.

    Args:
        grid: of the voxels.
        expected: the study's image.

    Raises:
        ScanFault: the study names axes and the header states none; or it wants an image of two
            axes, and no side is 1.
    """

    def __init__(self, grid: VoxelGrid, expected: Image) -> None:
        self._grid, self._transform, self._dropped = grid, None, -1
        if expected.axes is not None:
            if grid.affine is None and expected.orientation is not None:
                raise ScanFault(
                    "the header does not state how the image lies",
                    "export it with its orientation, or ask for a study without image.orientation",
                    "image-geometry",
                )
            if grid.affine is not None:
                stored = nibabel.orientations.io_orientation(grid.affine)
                if np.isnan(stored).any():
                    raise ScanFault("the header's axes do not span a volume", _AGAIN)
                wanted = nibabel.orientations.axcodes2ornt(tuple(expected.axes))
                self._transform = nibabel.orientations.ornt_transform(stored, wanted)
        if len(expected.shape) == 2:
            sides = self._turned(grid.sides)
            if 1 not in sides:
                raise ScanFault(
                    "it is a volume, and the study's images have two axes",
                    "name the slice itself in the table, or ask for a study with three axes",
                )
            self._dropped = 2 - sides[::-1].index(1)

    def _turned(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if self._transform is None:
            return values
        places = self._transform[:, 0].astype(int)
        turned = dict(zip(places.tolist(), values, strict=True))
        return tuple(turned[place] for place in range(3))

    def _left(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns what is left of values along (i, j, k)."""
        turned = self._turned(values)
        if self._dropped < 0:
            return turned
        kept = tuple(value for axis, value in enumerate(turned) if axis != self._dropped)
        return kept if self._transform is not None else kept[::-1]

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides of the turned image."""
        return self._left(self._grid.sides)

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Millimetres along each side of the turned image."""
        return None if self._grid.affine is None else self._left(spacing_of(self._grid.affine))

    @property
    def affine(self) -> Affine | None:
        """The place of the turned volume's voxels, before a side of 1 is left out."""
        if self._grid.affine is None or self._transform is None:
            return self._grid.affine
        moved: Affine = self._grid.affine @ nibabel.orientations.inv_ornt_aff(
            self._transform, self._grid.sides
        )
        return moved

    def __call__(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """Returns the turned image of voxels (i, j, k)."""
        if self._transform is not None:
            voxels = nibabel.orientations.apply_orientation(voxels, self._transform)
        if self._dropped >= 0:
            voxels = np.take(voxels, 0, axis=self._dropped)
            if self._transform is None:
                voxels = voxels.T
        return np.ascontiguousarray(voxels)


_AGAIN = "export the image again"


def spacing_of(affine: Affine) -> tuple[float, ...]:
    """Returns the distance of two voxels' centres along i, j and k, in mm."""
    return tuple(float(length) for length in np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))


def orientation_of(affine: Affine | None) -> str | None:
    """Returns the letters of the directions in which i, j and k rise.

    >>> orientation_of(np.diag([-1.0, 1.0, 2.0, 1.0]))
    'LAS'
    """
    if affine is None:
        return None
    return "".join(letter or "?" for letter in nibabel.orientations.aff2axcodes(affine))


def same_place(one: Affine | None, other: Affine | None, sides: tuple[int, ...]) -> bool:
    """Whether two grids of these sides have their corners within half a voxel of each other."""
    if one is None or other is None or len(sides) != 3:
        return True
    last = np.array(sides) - 1.0
    corners = np.array([[0, 0, 0, 1], [last[0], 0, 0, 1], [0, last[1], 0, 1], [*last, 1]]).T
    apart = np.abs((one - other)[:3] @ corners).max()
    return bool(apart <= 0.5 * min(spacing_of(one)))
