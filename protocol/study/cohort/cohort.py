"""The cohort contract: what a study expects of every hospital's records."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from protocol.study.cohort.columns import CategoryColumn, Column, NumberColumn, OtherColumn
from protocol.study.cohort.labels import FindingsLabel, Label
from protocol.study.cohort.preprocessing import (
    LONGEST,
    MOST_PIXELS,
    Preprocessing,
    exactly,
    misfits,
    sides_after,
)
from protocol.study.cohort.vocabulary import NUMERAL
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


class _Cohort(FrozenModel):
    patient_key: str = Field(min_length=1)
    label: Label
    min_patients: int = Field(default=10, ge=1)
    allow_one_class: bool = False
    max_records_per_patient: int = Field(default=8, ge=1, le=1024)


class TableCohort(_Cohort):
    """Records in a table: one row per record, several rows per patient allowed.

    ``patient_key`` names the column that tells patients apart, or is ``row``,
    which states that one row is one patient.
    """

    kind: Literal["table"]
    header: bool = True
    delimiter: Delimiter = ","
    decimal: Decimal = "."
    encoding: Encoding = "utf-8"
    missing: tuple[str, ...] = ("", "?", "NA", "NaN", "nan", "null")
    on_missing: Literal["refuse", "drop_row"] = "refuse"
    columns: tuple[Column, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "TableCohort":
        names = [column.name for column in self.columns]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"columns are declared twice: {', '.join(repeated)}")
        if not self.features:
            raise ValueError("no column is a feature (kind number or category)")
        for column in self.columns:
            words = {token for token in self.missing if not NUMERAL.fullmatch(token)}
            both = words & set(getattr(column, "tokens", ()))
            if both:
                raise ValueError(
                    f"column {column.name!r}: {min(both)!r} is one of its values, and means "
                    "missing: take it out of missing, or out of values"
                )
            both = set(self.missing) & set(getattr(column, "replace", ()))
            if both:
                raise ValueError(
                    f"column {column.name!r}: {min(both)!r} is replaced, and means missing: take "
                    "it out of missing, or out of replace"
                )
        several = isinstance(self.label, FindingsLabel)
        if not self.label.columns or (self.label.column is None and not several):
            raise ValueError("label.column is missing: name the column that holds the label")
        features = {column.name for column in self.features}
        if features & {*self.label.columns, self.patient_key}:
            raise ValueError("the label and the patient key must not be features as well")
        return self

    @property
    def features(self) -> tuple[NumberColumn | CategoryColumn, ...]:
        """The columns that become model inputs, in the order declared."""
        return tuple(c for c in self.columns if not isinstance(c, OtherColumn))

    @property
    def width(self) -> int:
        """The number of numbers in one encoded record."""
        return sum(
            1 if isinstance(column, NumberColumn) else len(column.values) - 1
            for column in self.features
        )

    @property
    def record_form(self) -> tuple[int, ...]:
        """The form of one encoded record: its numbers in a row."""
        return (self.width,)


class Image(FrozenModel):
    """The form of one image, before the channel axis is added.

    ``range`` holds of a hospital's images as they are; ``shape`` is what the network sees, after
    ``preprocessing``.
    """

    shape: tuple[int, ...] = Field(min_length=2, max_length=3)
    range: tuple[float, float]
    centre: float
    scale: float = Field(gt=0)
    preprocessing: tuple[Preprocessing, ...] = Field(
        default=(), max_length=12, exclude_if=lambda transforms: not transforms
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Image":
        if any(not 1 <= side <= MOST_PIXELS for side in self.shape):
            raise ValueError(f"every side of the shape must be between 1 and {MOST_PIXELS}")
        if not self.range[0] < self.range[1]:
            raise ValueError("range must rise")
        return self

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
    is visible to the split as a column called ``part``.
    """

    kind: Literal["images"]
    image: Image
    parts: tuple[str, ...] = Field(default=("train", "val", "test"), min_length=1)

    @property
    def record_form(self) -> tuple[int, ...]:
        """The form of one encoded record: one channel, and the image's sides."""
        return (1, *self.image.shape)


Cohort: TypeAlias = Annotated[TableCohort | ImageCohort, Field(discriminator="kind")]
