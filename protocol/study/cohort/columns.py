"""Columns of a table: numbers, categories, dates, and what is no feature."""

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from protocol.study.cohort.clinical import Clinical
from protocol.study.cohort.dates import ISO_FORMAT, DateFormat, DayOrColumn, PartialDates
from protocol.study.cohort.units import (
    UNCHANGED,
    Conversible,
    Conversion,
    UnitName,
    canonical_unit,
)
from protocol.study.cohort.vocabulary import NUMERAL, Token, Vocabulary, canonical_token
from protocol.study.frozen_model import FrozenModel, OneLine


def _check_meaning(clinical: Clinical | None, words: Collection[str] | None) -> None:
    misfit = None if clinical is None else clinical.misfit(words)
    if misfit is not None:
        raise ValueError(f"clinical: {misfit}")


class _Column(FrozenModel):
    """A column, and the codes that mean a missing cell in this one beside the cohort's."""

    name: OneLine = Field(min_length=1)
    missing: tuple[Token, ...] = Field(
        default=(), max_length=100, exclude_if=lambda codes: not codes
    )

    @property
    def missing_codes(self) -> frozenset[str]:
        """The column's own codes for a missing cell, in comparable spelling."""
        return frozenset(canonical_token(code) for code in self.missing)


class NumberColumn(_Column):
    """A numeric feature, encoded as ``(value - centre) / scale``.

    ``replace`` says which number stands for a text: ``{"> 89": 90}``. ``unit`` is that of range,
    centre, scale and whatever else is a number here. ``units`` are others in which a hospital may
    have the column: for each the factor, or ``scale`` and ``offset``, that make the column's unit
    of it. A hospital says so in its site file; nothing is taken for granted.

    A code of ``missing`` lies outside the range, in every unit, unless ``missing_in_range`` says
    that no measured number is equal to it. ``clinical`` says what the column is made of where
    records are no table of their own.
    """

    kind: Literal["number"]
    range: tuple[float, float]
    centre: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    outside: Literal["refuse", "clip"] = "refuse"
    impute: float | None = None
    replace: dict[str, float] = Field(default_factory=dict)
    clinical: Clinical | None = Field(default=None, exclude_if=lambda meaning: meaning is None)
    unit: UnitName | None = Field(default=None, exclude_if=lambda unit: unit is None)
    units: dict[UnitName, Conversible] = Field(
        default_factory=dict, max_length=20, exclude_if=lambda units: not units
    )
    missing_in_range: bool = Field(default=False, exclude_if=lambda said: not said)

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
        _check_meaning(self.clinical, None)
        self._check_units()
        self._check_clinical_units()
        self._check_missing()
        return self

    def _check_units(self) -> None:
        if self.units and self.unit is None:
            raise ValueError("units are made into the column's own: say unit")
        named = [canonical_unit(name) for name in (*self.units, *filter(None, [self.unit]))]
        if len(set(named)) < len(named):
            raise ValueError("units: one unit is named twice, perhaps in two spellings")

    def _check_clinical_units(self) -> None:
        own = getattr(self.clinical, "unit", None)
        if own and self.unit and canonical_unit(own) != canonical_unit(self.unit):
            raise ValueError(f"clinical: unit is {own}, and the column's is {self.unit}")
        for name in getattr(self.clinical, "unit_concepts", {}):
            if name != own and self.conversion(name) is None:
                raise ValueError(
                    f"clinical: unit_concepts names {name}, which the column does not convert: "
                    "write it under units"
                )

    def _check_missing(self) -> None:
        codes = [float(code) for code in self.missing_codes if NUMERAL.fullmatch(code)]
        low, high = self.range
        for name, how in [(self.unit, UNCHANGED), *self.conversions.items()]:
            inside = [code for code in codes if low <= how.of(code) <= high]
            if inside and not self.missing_in_range:
                raise ValueError(
                    f"missing: {inside[0]:g} lies inside the range"
                    + (f" as {name}" if name in self.units else "")
                    + "; if no measured number is equal to it, write missing_in_range: true"
                )

    @property
    def conversions(self) -> dict[str, Conversion]:
        """The conversions to the column's unit, by the name of the unit that each starts from."""
        return {
            name: how if isinstance(how, Conversion) else Conversion(scale=how)
            for name, how in self.units.items()
        }

    def conversion(self, unit: str) -> Conversion | None:
        """Returns what makes a number of a unit one of the column's; None where it is not named.

        Spellings of one unit are the same: ``degF`` is ``[degF]``.
        """
        wanted = canonical_unit(unit)
        if self.unit is not None and wanted == canonical_unit(self.unit):
            return UNCHANGED
        found = (how for name, how in self.conversions.items() if canonical_unit(name) == wanted)
        return next(found, None)

    @property
    def width(self) -> int:
        """The number of numbers that it becomes: one."""
        return 1


class CategoryColumn(_Column):
    """A categorical feature, one-hot over its vocabulary without the first entry."""

    kind: Literal["category"]
    values: Annotated[Vocabulary, Field(min_length=2)]
    impute: Token | None = None
    clinical: Clinical | None = Field(default=None, exclude_if=lambda meaning: meaning is None)

    @model_validator(mode="after")
    def _consistent(self) -> "CategoryColumn":
        if self.impute is not None and canonical_token(self.impute) not in self.tokens:
            raise ValueError("impute is not in the vocabulary")
        _check_meaning(self.clinical, self.tokens)
        return self

    @property
    def tokens(self) -> tuple[str, ...]:
        """The vocabulary in comparable spelling, in the order declared."""
        return tuple(canonical_token(value) for value in self.values)

    @property
    def width(self) -> int:
        """The number of numbers that it becomes: one for each value but the first."""
        return len(self.values) - 1


class ElapsedColumn(NumberColumn):
    """A feature that a column of dates becomes: the time from ``since`` to its day, as a number.

    ``per`` is how many days one of its unit has.
    """

    since: str
    format: str
    per: float


#: How many days a unit of time has; a year as UCUM counts it, the mean one of the Julian calendar.
_DAYS_OF = {"days": 1.0, "years": 365.25}


#: What only a date that is a number says, and what stands for not saying it.
_OF_NUMBERS = {
    "range": None, "centre": 0.0, "scale": 1.0, "outside": "refuse", "impute": None, "unit": "days",
}  # fmt: skip


class DateColumn(_Column):
    """A column of dates, for labels and windows of time; a feature where it says ``since``.

    ``format`` is how cells write a date; ISO 8601 (``2019-03-31``) is read beside any format. A
    time of day and a time zone are cut off. ``partial`` says what becomes of a date without a day
    or a month: it is refused, or completed to the first, the middle (the 15th, or the first of
    July) or the last day of what is known.

    With ``since``, a column of dates or a day, it is a number: the time from there to this date in
    ``unit``, of which ``range``, ``centre``, ``scale``, ``outside`` and ``impute`` are as those of
    a number. A year has 365.25 days.
    """

    kind: Literal["date"]
    format: DateFormat = ISO_FORMAT
    partial: PartialDates = "refuse"
    since: DayOrColumn | None = None
    unit: Literal["days", "years"] = "days"
    range: tuple[float, float] | None = None
    centre: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    outside: Literal["refuse", "clip"] = "refuse"
    impute: float | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "DateColumn":
        if self.since is None:
            given = [name for name in _OF_NUMBERS if getattr(self, name) != _OF_NUMBERS[name]]
            if given:
                raise ValueError(f"{given[0]} is of a number: say since, which makes one of it")
        elif self.since == self.name:
            raise ValueError("since is another column of dates, or a day")
        elif self.range is None:
            raise ValueError("with since it is a number: say its range")
        _ = self.elapsed  # which has the rules of a number
        return self

    @property
    def elapsed(self) -> ElapsedColumn | None:
        """The feature that it becomes; None where it is no feature."""
        if self.since is None or self.range is None:
            return None
        return ElapsedColumn(
            name=self.name,
            kind="number",
            range=self.range,
            centre=self.centre,
            scale=self.scale,
            outside=self.outside,
            impute=self.impute,
            since=self.since,
            format=self.format,
            per=_DAYS_OF[self.unit],
        )


class OtherColumn(_Column):
    """A column that is no feature: the label, the patient key, or simply unused."""

    kind: Literal["other"]


Column: TypeAlias = Annotated[
    NumberColumn | CategoryColumn | DateColumn | OtherColumn, Field(discriminator="kind")
]
#: A column that becomes numbers of the encoded record.
Feature: TypeAlias = Annotated[NumberColumn | CategoryColumn, Field(discriminator="kind")]

#: Spellings that mean a missing cell, where a cohort names no others.
MISSING = ("", "?", "NA", "NaN", "nan", "null")


def width_of(features: Iterable[NumberColumn | CategoryColumn]) -> int:
    """Returns the number of numbers that some columns become together."""
    return sum(column.width for column in features)


def check_columns(
    columns: Sequence[NumberColumn | CategoryColumn | DateColumn | OtherColumn],
    missing: Sequence[str],
) -> None:
    """Refuses columns that are declared twice, or whose own spellings mean missing as well.

    Raises:
        ValueError: one of them is or does.
    """
    names = [column.name for column in columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"columns are declared twice: {', '.join(repeated)}")
    words = {token for token in missing if not NUMERAL.fullmatch(token)}
    for column in columns:
        both = (words | column.missing_codes) & set(getattr(column, "tokens", ()))
        if both:
            raise ValueError(
                f"column {column.name!r}: {min(both)!r} is one of its values, and means "
                "missing: take it out of missing, or out of values"
            )
        both = {*missing, *column.missing_codes} & set(getattr(column, "replace", ()))
        if both:
            raise ValueError(
                f"column {column.name!r}: {min(both)!r} is replaced, and means missing: take "
                "it out of missing, or out of replace"
            )
