"""One line after the other of a table of images: opened, compared, noted, prepared."""

from collections import Counter
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.image_folders.listing import FoundBy, ImageListing, path_below
from pipelines.records import A_TENTH_OR_MORE, Records, ScanNotes, patient_token
from pipelines.sources.faults import RecordFault, reason_of
from pipelines.sources.images.pixel_values import fits_range, scaled
from pipelines.sources.images.prepared_images import PreparedImages
from pipelines.sources.images.scans.masks import MaskReader, open_mask
from pipelines.sources.images.scans.scan import Scan, ScanFault
from pipelines.sources.tables.table import SourceTable
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import Image, ImageCohort
from protocol.study.cohort.labels import MaskLabel


class FolderSettings(Protocol):
    """A hospital's statements of its folder, see ``folder.ImageFolder``."""

    @property
    def folder(self) -> Path:
        """The folder of images and masks."""

    @property
    def image(self) -> str:
        """The table's column of images."""

    @property
    def by(self) -> FoundBy:
        """The meaning of that column."""

    @property
    def header_patient(self) -> Literal["same", "other"]:
        """Whether headers number patients as the table does."""

    @property
    def burned_in(self) -> Literal["refuse", "allowed"]:
        """The treatment of images in whose pixels words may stand."""


#: Modalities that a report may name (PS3.3 C.7.3.1.1.1); a header may hold any word there.
_MODALITIES = frozenset(
    "CR CT DX ES IO IVOCT IVUS MG MR NM OCT OP OPT PT PX RF RG RTIMAGE SC SM US XA XC OT".split()
)


class LineReader:
    """Reads the lines' images one after the other, and keeps what is wrong with which."""

    def __init__(
        self,
        source: FolderSettings,
        listing: ImageListing,
        cohort: ImageCohort,
        table: SourceTable,
        encoded: Records,
    ) -> None:
        self._source, self._listing, self._cohort = source, listing, cohort
        self._lines, self._encoded = table.lines, encoded
        self._images = tuple(table.cells[source.image])
        label = cohort.label
        self._masks = tuple(table.cells[label.mask]) if isinstance(label, MaskLabel) else ()
        self._is_formless = False  # whether a header was refused: pixels are read no more
        self._faults: dict[tuple[str, str | None, str, str], list[int]] = {}
        self._places: dict[object, int] = {}
        self._patients: dict[str, set[int]] = {}
        self._headers: dict[int, set[str]] = {}
        self._studies: Counter[str] = Counter()
        self._series: set[str] = set()
        self._sides: set[tuple[int, ...]] = set()
        self._written_on = 0
        self._counts: dict[str, Counter[str]] = {
            name: Counter()
            for name in ("kinds", "orientations", "spacings", "sizes", "intensities")
        }

    def read(self, place: int, prepared: PreparedImages) -> None:
        """Looks at one line's image and mask, and writes them unless there is a fault."""
        label = self._cohort.label
        column, mask, has_form = self._source.image, None, False
        try:
            scan = self._opened(place)
            if isinstance(label, MaskLabel):
                column = label.mask
                mask = self._mask(place, scan, label)
            has_form = True
            if not self._is_formless:
                column = self._source.image
                pixels = self._pixels(scan)
                column = label.mask if isinstance(label, MaskLabel) else column
                classes = None if mask is None else mask()
                column = self._source.image
                found, own = prepared.prepared(scaled(pixels, self._cohort.image), classes)
                if not self._faults:
                    prepared.write(found[None], None if own is None else own[None])
        except ScanFault as fault:
            self._add(column, fault, place)
        except CohortRefused as error:  # of preprocessing, whose words name transforms alone
            what, _, remedy = str(error).partition("; ")
            self._add(column, ScanFault(what, remedy, "image-of-another-size"), place)
        except OSError as error:
            again = "see to its permissions and its disk"
            self._add(column, ScanFault(f"cannot be read: {reason_of(error)}", again), place)
        self._is_formless = self._is_formless or not has_form

    def _add(self, column: str | None, fault: ScanFault, place: int) -> None:
        lines = self._faults.setdefault((fault.name, column, fault.what, fault.remedy), [])
        lines.append(int(self._lines[place]))

    def _opened(self, place: int) -> Scan:
        cell = self._images[place]
        if cell in self._cohort.missing:
            if self._masks and self._masks[place] not in self._cohort.missing:
                raise ScanFault(
                    "a mask without its image",
                    "name its image, or take the line out",
                    "mask-without-image",
                )
            raise ScanFault("no image is named", "name it, or take the line out", "no-image-named")
        at = self._listing.place(cell)
        if self._places.setdefault(at, place) != place:
            raise ScanFault(
                "the same image as in a line before",
                "name each image once: one line for each record, not for each file or series",
                "image-named-twice",
            )
        expected = self._cohort.image
        scan = self._listing.open(cell, expected)
        self._note(place, scan)
        self._compare(place, scan)
        _require_form(scan, expected)
        if scan.burned_in is not None and self._source.burned_in == "refuse":
            raise ScanFault(
                scan.burned_in,
                "blacken the words and state Burned In Annotation NO, or, once you have looked "
                "at the images, write burned_in: allowed under data",
                "stated-burned-in-text",
            )
        return scan

    def _compare(self, place: int, scan: Scan) -> None:
        """Compares the header's patient with the table's, by equality alone."""
        if not scan.patient:
            return
        own = int(self._encoded.patients[place])
        stated = patient_token(scan.patient)
        by_row = self._cohort.patient_key == "row"
        if not by_row and self._source.header_patient == "same":
            if stated != self._encoded.patient_keys[own]:
                raise ScanFault(
                    "the header states another patient than the table",
                    "mend the table or the image; where the table has pseudonyms, write "
                    "header_patient: other under data",
                    "another-patient-in-the-header",
                )
            return
        rows = self._patients.setdefault(stated, set())
        headers = self._headers.setdefault(own, set())
        rows.add(own)
        headers.add(stated)
        if len(rows) > 1:
            raise ScanFault(
                "the header's patient is, in the table, another one in a line before",
                "give every person one number in the table"
                if not by_row
                else "name the column of the patient's number in the study (patient_key): lines "
                "are not persons",
                "two-persons-for-a-patient",
            )
        if len(headers) > 1:
            raise ScanFault(
                "the table's patient has images of several persons, by their headers",
                "give every person an own number in the table",
                "two-persons-for-a-patient",
            )

    def _mask(self, place: int, scan: Scan, label: MaskLabel) -> MaskReader:
        cell = self._masks[place]
        if cell in self._cohort.missing:
            raise ScanFault(
                "an image without its mask",
                "name its mask, or take the line out",
                "image-without-mask",
            )
        path = path_below(self._source.folder, cell)
        return open_mask(path, scan, self._cohort.image, label)

    def _pixels(self, scan: Scan) -> NDArray[np.generic]:
        image = self._cohort.image
        pixels = scan.pixels()
        if not fits_range(pixels, image):
            low, high = image.range
            raise ScanFault(
                f"a pixel is outside the range [{low:g}, {high:g}], or not a number",
                "amend the contract's range, or mend the image (is it in the study's unit?)",
                "pixel-outside-range",
            )
        self._counts["intensities"][_share_of_range(pixels, image)] += 1
        return pixels

    def _note(self, place: int, scan: Scan) -> None:
        self._sides.add(scan.sides)
        known = scan.study is None or scan.kind in _MODALITIES
        self._counts["kinds"][scan.kind if known else "another modality"] += 1
        self._counts["orientations"][scan.orientation or "not stated"] += 1
        self._counts["sizes"][" x ".join(map(str, scan.sides))] += 1
        spacing = "not stated"
        if scan.spacing is not None:
            spacing = " x ".join(f"{each:.2f}" for each in scan.spacing)
        self._counts["spacings"][spacing] += 1
        self._written_on += scan.burned_in is not None
        if scan.study:
            self._studies[scan.study] += 1
            if self._studies[scan.study] > 1 and self._cohort.image.series is not None:
                raise ScanFault(
                    "an image of the same study as a line before, of which image.series makes "
                    "one record",
                    "write one line for each study, not for each series",
                    "line-per-series",
                )
        if scan.series:
            self._series.add(scan.series)

    def faults(self) -> list[RecordFault]:
        """Returns every fault, with the table's lines that have it."""
        return [
            RecordFault(name=name, column=column, lines=sorted(lines), what=what, remedy=remedy)
            for (name, column, what, remedy), lines in self._faults.items()
        ]

    @property
    def sides(self) -> tuple[tuple[int, ...], ...]:
        """The different sides of the images."""
        return tuple(sorted(self._sides))

    def notes(self) -> ScanNotes:
        """Returns the counts of the images."""
        named = [*self._images]
        if self._source.by == "file":
            named += self._masks
        return ScanNotes(
            **{name: dict(counts) for name, counts in self._counts.items()},
            studies=len(self._studies),
            series=len(self._series),
            unnamed=self._listing.unnamed(named),
            written_on=self._written_on,
        )


def _require_form(scan: Scan, expected: Image) -> None:
    if not expected.takes(scan.sides):
        whole = " x ".join(map(str, expected.shape))
        raise ScanFault(
            f"its size does not become the study's {whole}",
            "take another image, or ask for a study that lists Resized or ResizeWithPadOrCropd",
            "image-of-another-size",
        )
    if expected.spacing is None:
        return
    if scan.spacing is None:
        raise ScanFault(
            "the header does not state the distance of its voxels",
            "export it with its spacing",
            "image-geometry",
        )
    for low_high, own in zip(expected.spacing, scan.spacing, strict=True):
        if not low_high[0] * 0.999 <= own <= low_high[1] * 1.001:
            raise ScanFault(
                "its spacing is outside the study's image.spacing",
                "take another series, or resample it before",
                "image-geometry",
            )


def _share_of_range(pixels: NDArray[np.generic], image: Image) -> str:
    low, high = image.range
    width = float(pixels.max()) - float(pixels.min())
    if width == 0:
        return "one value everywhere"
    return A_TENTH_OR_MORE if width >= (high - low) / 10 else "less than a tenth"
