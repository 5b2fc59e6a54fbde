"""A DICOM image: slices put in the order of their places, or one file's frames.

The normal of a slice is the cross product of its rows' and columns' directions; slices are sorted
by their position along it (PS3.3 C.7.6.2.1.1), whatever their files are called.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.images.scans.dicom.header import DicomHeader, Frame
from pipelines.sources.images.scans.dicom.mosaic import open_mosaic
from pipelines.sources.images.scans.dicom.pixels import planes, require_decodable
from pipelines.sources.images.scans.geometry import Turn, orientation_of
from pipelines.sources.images.scans.scan import Affine, Scan, ScanFault, VoxelGrid, require_size
from protocol.counted import counted
from protocol.study.cohort.cohort import Image

#: Slices whose places differ by less than this part of their usual distance are at one place.
_SAME = 0.01
#: Distances of slices differ by less than this part of the usual one.
_UNEQUAL = 0.05
#: Directions differ by less than this.
_PARALLEL = 1e-3
_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_AGAIN = "export the whole series again"


def open_dicom(headers: Sequence[DicomHeader], expected: Image) -> Scan:
    """Returns the image of one file, or of the files of one series.

    Raises:
        ScanFault: they are no image that can be put together, or none that the study wants.
    """
    for header in headers:
        if header.is_segmentation:
            raise ScanFault("it is a segmentation", "name it in the column of masks")
        require_decodable(header, expected)
    if all(header.is_mosaic for header in headers):
        return open_mosaic(headers, expected)
    forms = Counter((h.rows, h.columns, len(h.frames)) for h in headers)
    if len(forms) > 1:
        raise ScanFault(f"its files are of {len(forms)} sizes", _AGAIN)
    slices = [(header, number) for header in headers for number in range(len(header.frames))]
    require_size(headers[0].rows * headers[0].columns * len(slices))
    slices, affine = _in_order(slices, expected)
    first = headers[0]
    sides = (first.columns, first.rows, len(slices))
    grid = VoxelGrid(sides=sides, affine=affine)
    turn = Turn(grid, expected)
    return Scan(
        kind=first.modality,
        sides=turn.sides,
        spacing=turn.spacing,
        orientation=orientation_of(affine),
        affine=turn.affine,
        native=grid,
        patient=_one(h.patient for h in headers),
        study=_one(h.study for h in headers),
        series=_one(h.series for h in headers),
        burned_in=next((h.burned_in for h in headers if h.burned_in), None),
        pixels=partial(_read, slices, sides, turn),
    )


def _one(values: Any) -> str:
    several = set(values)
    if len(several) > 1:
        raise ScanFault(
            "its files are of several series, studies or patients", "name one series' files alone"
        )
    return str(several.pop())


_Slice = tuple[DicomHeader, int]


def _frame(one: _Slice) -> Frame:
    return one[0].frames[one[1]]


def _in_order(slices: list[_Slice], expected: Image) -> tuple[list[_Slice], Affine | None]:
    """Returns the slices of one volume from one end to the other, and its place."""
    frames = [_frame(one) for one in slices]
    if any(f.position is None or f.cosines is None or f.spacing is None for f in frames):
        if len(slices) == 1:
            return slices, None
        return [_chosen(slices, expected)], None  # a film, or slices that state no place
    first = np.array(frames[0].cosines)
    if any(np.abs(np.array(f.cosines) - first).max() > _PARALLEL for f in frames):
        raise ScanFault(
            "its slices lie in several directions", "name one series, without its localizers"
        )
    if any(f.spacing != frames[0].spacing for f in frames):
        raise ScanFault("its slices have several distances of pixels", _AGAIN)
    normal = np.cross(first[:3], first[3:])
    if not np.isclose(np.linalg.norm(normal), 1.0, atol=0.01):
        raise ScanFault("the directions in its header are no right angle", _AGAIN)
    places = np.array([f.position for f in frames], dtype=np.float64) @ normal
    order = sorted(
        range(len(slices)), key=lambda at: (places[at], slices[at][0].number, slices[at][1])
    )
    sorted_places = places[order]
    new = np.r_[True, np.diff(sorted_places) > _SAME * _usual(sorted_places)]
    slices = [slices[place] for place in order]
    if not new.all():
        slices, sorted_places = _one_volume(slices, sorted_places, new, expected)
    step = _step(slices, sorted_places)
    start, end = (np.array(_frame(one).position) for one in (slices[0], slices[-1]))
    along = (end - start) / (len(slices) - 1) if len(slices) > 1 else normal * step
    if np.linalg.norm(np.cross(along / np.linalg.norm(along), normal)) > _UNEQUAL:
        raise ScanFault("its slices are shifted sidewards (a tilted gantry)", _RESAMPLE)
    rows, columns = frames[0].spacing or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = first[:3] * columns, first[3:] * rows
    affine[:3, 2], affine[:3, 3] = along, start
    return slices, _FROM_LPS @ affine


_RESAMPLE = "convert it to NIfTI with equal distances (dcm2niix does), and name that file"


def _usual(places: NDArray[np.float64]) -> float:
    apart = np.diff(places)
    apart = apart[apart > 1e-4]
    return float(np.median(apart)) if len(apart) else 1.0


def _chosen(slices: list[_Slice], expected: Image) -> _Slice:
    """Returns the frame of a film that the study names by ``image.volume``."""
    if expected.volume is None or expected.volume >= len(slices):
        raise ScanFault(
            f"it holds {len(slices)} frames or slices whose places are not stated",
            "name a file of one image in the table, or ask for a study whose image.volume says "
            "which frame",
        )
    ordered = sorted(slices, key=lambda one: (one[0].number, one[1]))
    return ordered[expected.volume]


def _one_volume(
    slices: list[_Slice], places: NDArray[np.float64], new: NDArray[np.bool_], expected: Image
) -> tuple[list[_Slice], NDArray[np.float64]]:
    """Returns the slices of one volume of several at the same places."""
    starts = np.flatnonzero(new)
    counts = np.diff(np.r_[starts, len(slices)])
    if len(set(counts.tolist())) > 1:
        raise ScanFault(
            f"{counted(int((counts > 1).sum()), 'place')} of {len(counts)} have more than one "
            "slice",
            "take the copies out, or export the series again",
        )
    if expected.volume is None or expected.volume >= counts[0]:
        raise ScanFault(
            f"it holds {counts[0]} volumes at the same places (a course of time, or copies)",
            "name one volume's files, or ask for a study with image.volume",
        )
    kept = starts + expected.volume
    return [slices[place] for place in kept], places[kept]


def _step(slices: list[_Slice], places: NDArray[np.float64]) -> float:
    """Returns the distance of the slices in mm.

    Raises:
        ScanFault: it is not the same everywhere; counts the slices that lack.
    """
    if len(places) == 1:
        thickness = slices[0][0].thickness
        return thickness if thickness else 1.0
    apart = np.diff(places)
    step = float(np.median(apart))
    least = float(apart.min())
    times = np.rint(apart / least)
    if (times > 1).any() and (np.abs(apart - times * least) <= _UNEQUAL * apart).all():
        missing = int((times - 1).sum())
        raise ScanFault(f"{counted(missing, 'slice')} missing between the others", _AGAIN)
    if np.abs(apart - step).max() > _UNEQUAL * step:
        raise ScanFault("the distances of its slices are unequal", _RESAMPLE)
    return step


def _read(slices: list[_Slice], sides: tuple[int, int, int], turn: Turn) -> NDArray[np.float32]:
    voxels = np.empty(sides, dtype=np.float32)
    wanted: dict[int, list[tuple[int, int]]] = {}
    headers = {id(header): header for header, _ in slices}
    for place, (header, number) in enumerate(slices):
        wanted.setdefault(id(header), []).append((number, place))
    for key, numbers in wanted.items():
        places = dict(numbers)
        for number, plane in enumerate(planes(headers[key])):
            if number in places:
                voxels[:, :, places[number]] = plane.T
    return turn(voxels)
