"""NIfTI files."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

#: Voxels of 1 x 2 x 3 mm, whose axes rise to the right, front and head.
RAS = np.diag([1.0, 2.0, 3.0, 1.0])


def write_nifti(path: Path, voxels: NDArray[Any], affine: NDArray[Any] = RAS) -> Path:
    """Writes voxels; a name that ends in .gz is packed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


def turned_affine(letters: str, sides: tuple[int, ...], spacing: tuple[float, ...]) -> Any:
    """Returns an affine of such axes that keeps the volume in place around 0."""
    stored = nibabel.orientations.axcodes2ornt(tuple(letters))
    moved = nibabel.orientations.inv_ornt_aff(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt(tuple("RAS")), stored
        ),
        sides,
    )
    return np.diag([*spacing, 1.0]) @ moved
