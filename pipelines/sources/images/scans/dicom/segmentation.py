"""DICOM SEG: frames of segments, placed on the slices of their image (PS3.3 C.8.20).

Rules:

1. A segment becomes the class whose values hold its label or its number; one that no class names
   is refused.
2. A frame goes to the slice at its own place; frames of another size or direction than the
   image's slices are refused, and so are voxels of two classes and parts of a whole.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.images.scans.dicom.header import DicomHeader, Frame
from pipelines.sources.images.scans.dicom.pixels import stored_planes
from pipelines.sources.images.scans.scan import Affine, ScanFault, VoxelGrid
from protocol.counted import counted
from protocol.study.cohort.labels import MaskLabel
from protocol.study.cohort.vocabulary import canonical_token

_AGAIN = "export the segmentation on its own image, or convert it to NIfTI"
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Parts of a pixel that a frame may lie beside a slice.
_NEAR = 0.1


def segmentation_classes(
    header: DicomHeader, image: VoxelGrid, label: MaskLabel
) -> NDArray[np.float32]:
    """Returns (i, j, k) numbers of classes, on the voxels of the image as they are stored.

    Raises:
        ScanFault: segments, size or places do not fit; a voxel is of two classes.
        OSError: the file cannot be read.
    """
    numbers = _class_of_each(header, label)
    if image.affine is None:
        raise ScanFault("its image does not state where it lies", "name a mask in NIfTI instead")
    if (header.columns, header.rows) != image.sides[:2]:
        raise ScanFault("its size is not that of its image", _AGAIN, "mask-elsewhere")
    places = [_slice_of(frame, image.sides, _TO_LPS @ image.affine) for frame in header.frames]
    found = np.zeros(image.sides, dtype=np.float32)
    taken = np.zeros(image.sides, dtype=np.bool_)
    several = 0
    by_number = header.segmentation == "LABELMAP"
    for frame, place, plane in zip(header.frames, places, stored_planes(header), strict=True):
        if by_number:
            own = _of_label_map(plane.T, numbers)
            marked = own > 0
        else:
            marked = plane.T > 0
            own = np.where(marked, numbers[frame.segment], 0.0).astype(np.float32)
        both = marked & taken[:, :, place] & (found[:, :, place] != own)
        several += int(both.sum())
        found[:, :, place][marked] = own[marked]
        taken[:, :, place] |= marked
    if several:
        raise ScanFault(
            f"{counted(several, 'voxel')} of two classes", "export segments that do not overlap"
        )
    return found


def require_segmentation(header: DicomHeader, label: MaskLabel) -> None:
    """Refuses what is no segmentation, or one whose segments the study does not name."""
    if not header.is_segmentation:
        raise ScanFault("it is a DICOM image, not a segmentation", "name a DICOM SEG or a NIfTI")
    _class_of_each(header, label)


def _class_of_each(header: DicomHeader, label: MaskLabel) -> dict[int, float]:
    if header.segmentation == "FRACTIONAL":
        raise ScanFault("its voxels are parts of a whole (FRACTIONAL)", "export it as BINARY")
    meaning = label.meaning
    if not header.segments:
        raise ScanFault("it describes no segment", _AGAIN)
    found: dict[int, float] = {}
    unknown = 0
    for number, name in header.segments:
        if number == 0:  # a label map's background
            continue
        spelled = (canonical_token(name), canonical_token(number))
        known = [meaning[token] for token in spelled if token in meaning]
        found |= {number: known[0]} if known else {}
        unknown += not known
    if unknown:
        raise ScanFault(
            f"{counted(unknown, 'segment')} that no class of the study names",
            "export the others alone, or name labels or numbers of segments in the study's classes",
        )
    referred = {frame.segment for frame in header.frames}
    if header.segmentation != "LABELMAP" and not referred <= found.keys():
        raise ScanFault("its frames name a segment that it does not describe", _AGAIN)
    return found


def _of_label_map(plane: NDArray[np.integer], numbers: dict[int, float]) -> NDArray[np.float32]:
    values, places = np.unique(plane, return_inverse=True)
    if not {int(value) for value in values} <= {0, *numbers}:
        raise ScanFault("its voxels name a segment that it does not describe", _AGAIN)
    meant = np.array([numbers.get(int(value), 0.0) for value in values], dtype=np.float32)
    return meant[places].reshape(plane.shape)


def _slice_of(frame: Frame, sides: tuple[int, int, int], affine: Affine) -> int:
    """Returns the slice of the image at a frame's place."""
    if frame.position is None or frame.cosines is None or frame.spacing is None:
        raise ScanFault("its frames do not state where they lie", _AGAIN)
    row, column = (np.array(part) for part in (frame.cosines[:3], frame.cosines[3:]))
    own = np.stack([row * frame.spacing[1], column * frame.spacing[0]], axis=1)
    if np.abs(own - affine[:3, :2]).max() > 0.01 * max(frame.spacing):
        raise ScanFault("its frames lie in another direction than its image's slices", _AGAIN)
    at = np.linalg.solve(affine, np.array([*frame.position, 1.0]))[:3]
    place = int(np.rint(at[2]))
    if np.abs(at - (0, 0, place)).max() > _NEAR or not 0 <= place < sides[2]:
        raise ScanFault("a frame lies on none of its image's slices", _AGAIN)
    return place
