"""The cohort contract: what a study expects of every hospital's records.

Everything here is public and fixed before any record is read: column names,
types, ranges, vocabularies, centre and scale. Encoding a record therefore
never depends on another record, so nothing about one hospital's patients can
leak through the way the data are prepared.
"""

import math
import re
from collections import Counter
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    model_validator,
)

#: One entry of a vocabulary as a person writes it in YAML.
Token: TypeAlias = StrictBool | int | float | str


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


class FrozenModel(BaseModel):
    """Base of the frozen records people write: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)


def canonical_token(value: object) -> str:
    """Returns the one spelling under which a vocabulary entry and a cell are compared.

    ``1``, ``1.0``, ``"1"`` and ``" 1.00 "`` are the same entry; so are ``true`` and ``"True"``.

    >>> canonical_token("1.0"), canonical_token(1), canonical_token(" F "), canonical_token(True)
    ('1', '1', 'F', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return str(int(number)) if number.is_integer() else repr(number)


def _distinct(values: tuple[Token, ...]) -> tuple[Token, ...]:
    spelled = [canonical_token(value) for value in values]
    repeated = sorted(entry for entry, count in Counter(spelled).items() if count > 1)
    if repeated:
        raise ValueError(f"entries are repeated: {', '.join(repeated)}")
    return values


Vocabulary: TypeAlias = Annotated[tuple[Token, ...], Field(min_length=1), AfterValidator(_distinct)]


#: A number as a file may write it: no other digits, no underscores, no hexadecimals.
NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class NumberColumn(FrozenModel):
    """A numeric feature, encoded as ``(value - centre) / scale``.

    ``replace`` says which number stands for a text: ``{"> 89": 90}``.
    """

    name: str = Field(min_length=1)
    kind: Literal["number"]
    range: tuple[float, float]
    centre: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    outside: Literal["refuse", "clip"] = "refuse"
    impute: float | None = None
    replace: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> "NumberColumn":
        low, high = self.range
        if not low < high:
            raise ValueError(f"range must rise, got [{low}, {high}]")
        if self.impute is not None and not low <= self.impute <= high:
            raise ValueError("impute lies outside the range")
        for text, number in self.replace.items():
            if not text.strip() or text != text.strip() or NUMERAL.fullmatch(text):
                raise ValueError(
                    f"replace: {text!r} must be a text without blanks around it, and no number"
                )
            if not low <= number <= high:
                raise ValueError(f"replace: {text!r} becomes {number:g}, outside the range")
        return self


class CategoryColumn(FrozenModel):
    """A categorical feature, one-hot over its vocabulary without the first entry."""

    name: str = Field(min_length=1)
    kind: Literal["category"]
    values: Annotated[Vocabulary, Field(min_length=2)]
    impute: Token | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "CategoryColumn":
        if self.impute is not None and canonical_token(self.impute) not in self.tokens:
            raise ValueError("impute is not in the vocabulary")
        return self

    @property
    def tokens(self) -> tuple[str, ...]:
        """The vocabulary in comparable spelling, in the order declared."""
        return tuple(canonical_token(value) for value in self.values)


class OtherColumn(FrozenModel):
    """A column that is no feature: the label, the patient key, or simply unused."""

    name: str = Field(min_length=1)
    kind: Literal["other"]


Column: TypeAlias = Annotated[
    NumberColumn | CategoryColumn | OtherColumn, Field(discriminator="kind")
]


class BinaryLabel(FrozenModel):
    """The values of a column (or image label array) that mean disease, and those that do not."""

    column: str | None = None
    positive: Vocabulary
    negative: Vocabulary

    @model_validator(mode="after")
    def _consistent(self) -> "BinaryLabel":
        both = {canonical_token(v) for v in self.positive} & {
            canonical_token(v) for v in self.negative
        }
        if both:
            raise ValueError(f"both positive and negative: {', '.join(sorted(both))}")
        return self

    @property
    def meaning(self) -> dict[str, float]:
        """0.0 or 1.0 for every spelling that is known."""
        return {canonical_token(value): 0.0 for value in self.negative} | {
            canonical_token(value): 1.0 for value in self.positive
        }

    @property
    def num_classes(self) -> int:
        """Two: healthy and ill."""
        return 2


class ClassLabel(FrozenModel):
    """The classes of a column (or image label array), each with the values that mean it.

    They are numbered in the order declared. A patient whose records are of several
    classes is of the last of them.
    """

    column: str | None = None
    classes: dict[str, Vocabulary] = Field(min_length=2, max_length=100)

    @model_validator(mode="after")
    def _consistent(self) -> "ClassLabel":
        spelled = [canonical_token(v) for values in self.classes.values() for v in values]
        repeated = sorted({token for token in spelled if spelled.count(token) > 1})
        if repeated:
            raise ValueError(f"of two classes: {', '.join(repeated)}")
        return self

    @property
    def meaning(self) -> dict[str, float]:
        """The number of its class, for every spelling that is known."""
        return {
            canonical_token(value): float(number)
            for number, values in enumerate(self.classes.values())
            for value in values
        }

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)


#: So many scales a label's range may be wide.
_MOST_SCALES = 50


class NumberLabel(FrozenModel):
    """A column (or image label array) of numbers to be predicted.

    The network learns ``(value - centre) / scale``. Figures are in the column's unit; an
    error counts as four scales at most, and so does a value's distance from the centre.
    """

    column: str | None = None
    range: tuple[float, float]
    centre: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    outside: Literal["refuse", "clip"] = "refuse"

    @model_validator(mode="after")
    def _consistent(self) -> "NumberLabel":
        low, high = self.range
        if not low < high:
            raise ValueError(f"range must rise, got [{low}, {high}]")
        if not low <= self.centre <= high:
            raise ValueError(f"centre {self.centre:g} lies outside the range")
        if high - low > _MOST_SCALES * self.scale:
            raise ValueError(
                f"scale {self.scale:g} is small for the range: errors count as four scales at "
                f"most; declare the column's usual deviation, {(high - low) / _MOST_SCALES:g} or "
                "more"
            )
        return self

    @property
    def num_classes(self) -> int:
        """None: 0."""
        return 0

    @property
    def bound(self) -> float:
        """The most that an error, or a value's distance from the centre, counts, in scales."""
        low, high = self.range
        return min(4.0, (high - low) / self.scale)


def _label_form(value: object) -> str:
    """Returns which form of label is meant, by the key that only that form has."""
    given = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    for key in ("classes", "range"):
        if key in given:
            return key
    return "positive"


Label: TypeAlias = Annotated[
    Annotated[BinaryLabel, Tag("positive")]
    | Annotated[ClassLabel, Tag("classes")]
    | Annotated[NumberLabel, Tag("range")],
    Discriminator(_label_form),
]


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
        if self.label.column is None:
            raise ValueError("label.column is missing: name the column that holds the label")
        features = {column.name for column in self.features}
        if self.label.column in features or self.patient_key in features:
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


class Image(FrozenModel):
    """The form of one image, before the channel axis is added."""

    shape: tuple[int, ...] = Field(min_length=2, max_length=3)
    range: tuple[float, float]
    centre: float
    scale: float = Field(gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> "Image":
        if any(not 1 <= side <= 4096 for side in self.shape):
            raise ValueError("every side of the shape must be between 1 and 4096")
        if not self.range[0] < self.range[1]:
            raise ValueError("range must rise")
        return self


class ImageCohort(_Cohort):
    """Images in an npz: ``<part>_images``, ``<part>_labels``, optionally ``<part>_<patient_key>``.

    This is the MedMNIST layout. ``parts`` are read in order; a record's part
    is visible to the split as a column called ``part``.
    """

    kind: Literal["images"]
    image: Image
    parts: tuple[str, ...] = Field(default=("train", "val", "test"), min_length=1)


Cohort: TypeAlias = Annotated[TableCohort | ImageCohort, Field(discriminator="kind")]
