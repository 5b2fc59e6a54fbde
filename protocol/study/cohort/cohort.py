"""The cohort contract: what a study expects of every hospital's records."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from protocol.study.cohort.clinical import Clinical, Index, check_clinical
from protocol.study.cohort.columns import (
    MISSING,
    CategoryColumn,
    Column,
    DateColumn,
    ElapsedColumn,
    Feature,
    NumberColumn,
    OtherColumn,
    check_columns,
    width_of,
)
from protocol.study.cohort.dates import TimeWindow, day_named
from protocol.study.cohort.labels import (
    DatedLabel,
    FindingsLabel,
    Label,
    NumberLabel,
    SurvivalLabel,
)
from protocol.study.cohort.preprocessing import (
    LONGEST,
    MOST_PIXELS,
    Preprocessing,
    exactly,
    misfits,
    sides_after,
)
from protocol.study.cohort.scans import (
    DEFAULT_ORIENTATION,
    Colour,
    Orientation,
    SeriesRule,
    Spacing,
)
from protocol.study.frozen_model import FrozenModel

#: How the letters of a CSV file are written as bytes.
Encoding: TypeAlias = Literal["utf-8", "latin-1"]


def _no_quote(mark: str) -> str:
    if mark in '"\r\n':
        raise ValueError("must be no quote and no end of a line")
    return mark


#: What stands before the tenths of a number in a CSV file.
Decimal: TypeAlias = Literal[".", ","]
#: What stands between the cells of a CSV file.
Delimiter: TypeAlias = Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_no_quote)]


#: The array of an image cohort that no column may take, beside the label's and the patient key.
_IMAGES = "images"


def joined_form(forms: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Returns the form of a record of several inputs, all their numbers in a row; or of the one.

    >>> joined_form([(1, 28, 28)]), joined_form([(1, 28, 28), (3,)])
    ((1, 28, 28), (787,))
    """
    return forms[0] if len(forms) == 1 else (sum(map(math.prod, forms)),)


class _Cohort(FrozenModel):
    """Base of the contracts: patients, label, minimum counts.

    A hospital with fewer patients than ``min_patients`` is refused, and one whose training or test
    part has fewer than ``min_per_class`` with a class, a finding or an event.
    """

    patient_key: str = Field(min_length=1)
    label: Label
    min_patients: int = Field(default=10, ge=1)
    min_per_class: int | None = Field(default=None, ge=1, exclude_if=lambda least: least is None)
    allow_one_class: bool = False
    max_records_per_patient: int = Field(default=8, ge=1, le=1024)

    @model_validator(mode="after")
    def _has_classes(self) -> "_Cohort":
        if self.min_per_class is not None and isinstance(self.label, NumberLabel):
            raise ValueError("min_per_class: a number has no classes: take it out")
        if self.min_per_class is not None and self.allow_one_class:
            raise ValueError("min_per_class asks for every class: take allow_one_class out")
        return self

    @property
    @abstractmethod
    def features(self) -> tuple[NumberColumn | CategoryColumn, ...]:
        """The columns that become model inputs, in the order declared."""

    @property
    def may_be_missing(self) -> frozenset[str]:
        """The columns of which a missing cell has a meaning: what is imputed, no event."""
        return frozenset(column.name for column in self.features if column.impute is not None)

    @property
    def width(self) -> int:
        """The number of numbers that its columns become in one encoded record."""
        return width_of(self.features)

    @property
    @abstractmethod
    def input_forms(self) -> tuple[tuple[int, ...], ...]:
        """The forms of what a network is given of one record, in the order of its numbers."""

    @property
    def record_form(self) -> tuple[int, ...]:
        """The form of one encoded record; of several inputs, all their numbers in a row."""
        return joined_form(self.input_forms)


class TableCohort(_Cohort):
    """Records in a table: one row per record, several rows per patient allowed.

    ``patient_key`` names the column that tells patients apart, or is ``row``,
    which states that one row is one patient. A missing cell that no column imputes is refused,
    or its row is left out, or it is counted as missing: that only in a statistics study. ``index``
    is day 0 of a record, where columns are made of a person's clinical records. ``window`` leaves
    out records of another time.
    """

    kind: Literal["table"]
    header: bool = True
    delimiter: Delimiter = ","
    decimal: Decimal = "."
    encoding: Encoding = "utf-8"
    missing: tuple[str, ...] = MISSING
    on_missing: Literal["refuse", "drop_row", "count"] = "refuse"
    columns: tuple[Column, ...] = Field(min_length=1)
    index: Index | None = Field(default=None, exclude_if=lambda index: index is None)
    window: TimeWindow | None = Field(default=None, exclude_if=lambda window: window is None)

    @model_validator(mode="after")
    def _consistent(self) -> "TableCohort":
        check_columns(self.columns, self.missing)
        if not self.features:
            raise ValueError("no column is a feature (kind number or category, or date with since)")
        self._check_dates()
        imputed = [c.name for c in self.features if getattr(c, "impute", None) is not None]
        if self.on_missing == "count" and imputed:
            raise ValueError(
                f"column {imputed[0]!r}: impute would hide the cells that on_missing: count "
                "counts: take one of the two out"
            )
        several = isinstance(self.label, FindingsLabel | DatedLabel)
        if not self.label.columns or (self.label.column is None and not several):
            raise ValueError("label.column is missing: name the column that holds the label")
        features = {column.name for column in self.features} - self._index_dates
        features |= {c.since for c in self.dates.values() if c.since} - self._index_dates
        if features & {*self.label.columns, self.patient_key}:
            raise ValueError("the label and the patient key must not be features as well")
        check_clinical(self.clinical_meanings, self.index, self.missing)
        return self

    @property
    def clinical_meanings(self) -> dict[str, Clinical | None]:
        """The meaning of each feature and of the label's columns; None where it is not said."""
        return {c.name: c.clinical for c in self.features} | dict(self.label.clinical_meanings)

    @property
    def features(self) -> tuple[NumberColumn | CategoryColumn, ...]:
        """The columns that become model inputs, in the order declared.

        A column of dates that says ``since`` is here as the number that it becomes.
        """
        found: list[NumberColumn | CategoryColumn] = []
        for column in self.columns:
            if isinstance(column, DateColumn):
                elapsed = column.elapsed
                found += [] if elapsed is None else [elapsed]
            elif not isinstance(column, OtherColumn):
                found.append(column)
        return tuple(found)

    @property
    def dates(self) -> dict[str, DateColumn]:
        """The columns of dates, by name."""
        return {c.name: c for c in self.columns if isinstance(c, DateColumn)}

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that are read: features, what they and the label are made of, the window."""
        since = (c.since for c in self.features if isinstance(c, ElapsedColumn))
        named = (name for name in since if day_named(name) is None)
        window = () if self.window is None else self.window.columns
        names = [*(c.name for c in self.features), *named, *self.label.columns, *window]
        return tuple(dict.fromkeys(names))

    @property
    def may_be_missing(self) -> frozenset[str]:
        """The columns of which a missing cell has a meaning: what is imputed, no event.

        A date that others are counted since may be missing where all of those are imputed. Where
        missing cells are counted, every feature's may be.
        """
        elapsed = [c for c in self.features if isinstance(c, ElapsedColumn)]
        if self.on_missing == "count":
            found = {c.name for c in self.features} | {c.since for c in elapsed}
            needed = set[str]()
        else:
            needed = {c.since for c in elapsed if c.impute is None}
            needed |= {c.name for c in elapsed if c.impute is None}
            found = set(super().may_be_missing)
            found |= {c.since for c in elapsed if c.impute is not None}
        if isinstance(self.label, DatedLabel):
            found.add(self.label.event_date)
            needed |= {*self.label.columns} - {self.label.event_date}
        window = () if self.window is None else self.window.columns
        return frozenset(found - needed - {*window})

    @property
    def _index_dates(self) -> frozenset[str]:
        """The column of dates from which a label is counted: it may be a feature as well."""
        if isinstance(self.label, DatedLabel):
            return frozenset({self.label.index_date})
        return frozenset()

    def _check_dates(self) -> None:
        """Refuses what is counted since, or looks at, a column that holds no dates."""
        used = [(f"column {c.name!r}: since", c.since) for c in self.dates.values() if c.since]
        if isinstance(self.label, DatedLabel):
            used += [("label", name) for name in self.label.columns]
        used += [("window", name) for name in (self.window.columns if self.window else ())]
        for where, name in used:
            if day_named(name) is None and name not in self.dates:
                raise ValueError(
                    f"{where}: {name!r} is no column of dates: declare {{name: {name}, kind: date}}"
                )

    @property
    def contents(self) -> str:
        """The contents of a record, as networks name them."""
        return "table"

    @property
    def input_forms(self) -> tuple[tuple[int, ...], ...]:
        """The forms of what a network is given of one record: its numbers in a row."""
        return ((self.width,),)


class Image(FrozenModel):
    """The form of one image, before the channel axis is added.

    ``range`` holds of a hospital's images as they are; ``shape`` is what the network sees, after
    ``preprocessing``. The last five keys are of images with a header; an npz has none, and holds
    images as the study means them.
    """

    shape: tuple[int, ...] = Field(min_length=2, max_length=3)
    range: tuple[float, float]
    centre: float
    scale: float = Field(gt=0)
    preprocessing: tuple[Preprocessing, ...] = Field(
        default=(), max_length=12, exclude_if=lambda transforms: not transforms
    )
    orientation: Orientation | None = Field(default=None, exclude_if=lambda given: given is None)
    spacing: Spacing | None = Field(default=None, exclude_if=lambda given: given is None)
    volume: int | None = Field(
        default=None, ge=0, le=65_535, exclude_if=lambda given: given is None
    )
    colour: Colour = Field(default="refuse", exclude_if=lambda given: given == "refuse")
    series: SeriesRule | None = Field(default=None, exclude_if=lambda given: given is None)

    @model_validator(mode="after")
    def _consistent(self) -> "Image":
        if any(not 1 <= side <= MOST_PIXELS for side in self.shape):
            raise ValueError(f"every side of the shape must be between 1 and {MOST_PIXELS}")
        if not self.range[0] < self.range[1]:
            raise ValueError("range must rise")
        if self.spacing is not None and len(self.spacing) != len(self.shape):
            raise ValueError(f"spacing needs a range for each of the {len(self.shape)} axes")
        return self

    @property
    def axes(self) -> str | None:
        """The orientation that images are turned to; None where they stay rows and columns."""
        return self.orientation or (DEFAULT_ORIENTATION if len(self.shape) == 3 else None)

    def misfits(self) -> list[tuple[str, str]]:
        """Returns keys and reasons why the preprocessing leaves no images of this shape."""
        return misfits(self.preprocessing, self.shape)

    def takes(self, sides: tuple[int, ...]) -> bool:
        """Whether a hospital's images of these sides come to have this shape."""
        if len(sides) != len(self.shape) or not all(1 <= side <= LONGEST for side in sides):
            return False
        left = sides_after(self.preprocessing, exactly(sides))
        return left == exactly(self.shape)


class ImageCohort(_Cohort):
    """Images in an npz: ``<part>_images``, the label's arrays, maybe ``<part>_<patient_key>``.

    This is the MedMNIST layout. ``parts`` are read in order; a record's part
    is visible to the split as a column called ``part``. ``columns`` are numbers and
    categories beside the images, each an array ``<part>_<column>`` with an entry for
    each image; ``missing`` is what stands for a missing entry, as NaN and an empty text do.
    """

    kind: Literal["images"]
    image: Image
    parts: tuple[str, ...] = Field(default=("train", "val", "test"), min_length=1)
    # Left out of the digest where they are not declared, as in studies of images alone.
    columns: tuple[Feature, ...] = Field(default=(), exclude_if=lambda declared: not declared)
    missing: tuple[str, ...] = Field(
        default=MISSING, exclude_if=lambda declared: declared == MISSING
    )

    @model_validator(mode="after")
    def _consistent(self) -> "ImageCohort":
        check_columns(self.columns, self.missing)
        if isinstance(self.label, DatedLabel):
            raise ValueError("a label of dates is of a cohort of kind table")
        label = {*self.label.arrays, *self.label.columns}
        if isinstance(self.label, SurvivalLabel):
            label.add(self.label.event)
        for column in self.columns:
            if column.clinical is not None:
                raise ValueError(f"column {column.name!r}: clinical is of a cohort of kind table")
            if column.name in label | {self.patient_key}:
                raise ValueError(
                    f"column {column.name!r}: the label and the patient key must not be features "
                    "as well"
                )
            if column.name in (_IMAGES, "part"):
                raise ValueError(f"column {column.name!r}: another thing of the file is called so")
        if self.label.clinical is not None or any(self.label.clinical_meanings.values()):
            raise ValueError("label: clinical is of a cohort of kind table")
        if self.missing != MISSING and not self.columns:
            raise ValueError("missing is of columns: declare some, or take it out")
        return self

    @property
    def features(self) -> tuple[NumberColumn | CategoryColumn, ...]:
        """The columns beside the image, in the order declared."""
        return self.columns

    @property
    def contents(self) -> str:
        """The contents of a record, as networks name them."""
        return "images with columns" if self.columns else "images"

    @property
    def input_forms(self) -> tuple[tuple[int, ...], ...]:
        """One channel and the image's sides; then, where there are columns, their numbers."""
        image = (1, *self.image.shape)
        return (image, (self.width,)) if self.columns else (image,)


Cohort: TypeAlias = Annotated[TableCohort | ImageCohort, Field(discriminator="kind")]
