"""Pictures: PNG, JPEG and TIFF, read by Pillow.

Of a picture are read its sides and its pixels, rows by columns; no metadata (EXIF, text) is. A
JPEG's turn by EXIF is not applied.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from pipelines.sources.images.scans.quiet import quiet
from pipelines.sources.images.scans.scan import DAMAGE, DAMAGED, Scan, ScanFault, require_size
from protocol.study.cohort.cohort import Image

_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")
_FORMATS = ("PNG", "JPEG", "TIFF")
#: Modes that are one number a pixel.
_GREY = frozenset({"1", "L", "I", "I;16", "I;16B", "I;16L", "F"})


def is_picture(start: bytes) -> bool:
    """Whether a file begins as a PNG, JPEG or TIFF does."""
    return start.startswith(_BEGINNINGS)


def open_picture(path: Path, expected: Image) -> Scan:
    """Returns a picture's image.

    Raises:
        ScanFault: damaged, too large, of several pages, or of colours that the study refuses.
        OSError: the file cannot be read.
    """
    with quiet():
        try:
            with Pillow.open(path, formats=_FORMATS) as picture:
                sides, mode, kind = picture.size[::-1], picture.mode, str(picture.format)
                pages = getattr(picture, "n_frames", 1)
        except (*DAMAGE, UnidentifiedImageError, Pillow.DecompressionBombError):
            raise DAMAGED from None
    require_size(sides[0] * sides[1])
    if pages > 1:
        raise ScanFault("it holds several pages", "save each page as a file of its own")
    if mode not in _GREY and expected.colour == "refuse":
        raise ScanFault(
            "its pixels are colours, or numbers of a palette",
            "save it in shades of grey, or ask for a study with image.colour: grey",
        )
    return Scan(kind=kind, sides=sides, pixels=partial(_read, path, sides))


def _read(path: Path, sides: tuple[int, ...]) -> NDArray[Any]:
    with quiet():
        try:
            with Pillow.open(path, formats=_FORMATS) as picture:
                if picture.mode not in _GREY:
                    return np.asarray(picture.convert("RGB").convert("L"))
                found = np.asarray(picture)
        except (*DAMAGE, OSError, Pillow.DecompressionBombError):
            raise DAMAGED from None
    if found.shape != sides:
        raise DAMAGED
    return found.astype(np.uint8) if found.dtype == np.bool_ else found
