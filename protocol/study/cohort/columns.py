"""Columns of a table: numbers, categories, and what is no feature."""

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from protocol.study.cohort.clinical import Clinical
from protocol.study.cohort.vocabulary import NUMERAL, Token, Vocabulary, canonical_token
from protocol.study.frozen_model import FrozenModel


def _check_meaning(clinical: Clinical | None, words: Collection[str] | None) -> None:
    misfit = None if clinical is None else clinical.misfit(words)
    if misfit is not None:
        raise ValueError(f"clinical: {misfit}")


class NumberColumn(FrozenModel):
    """A numeric feature, encoded as ``(value - centre) / scale``.

    ``replace`` says which number stands for a text: ``{"> 89": 90}``. ``clinical`` says what the
    column is made of where records are no table of their own.
    """

    name: str = Field(min_length=1)
    kind: Literal["number"]
    range: tuple[float, float]
    centre: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    outside: Literal["refuse", "clip"] = "refuse"
    impute: float | None = None
    replace: dict[str, float] = Field(default_factory=dict)
    clinical: Clinical | None = Field(default=None, exclude_if=lambda meaning: meaning is None)

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
        return self

    @property
    def width(self) -> int:
        """The number of numbers that it becomes: one."""
        return 1


class CategoryColumn(FrozenModel):
    """A categorical feature, one-hot over its vocabulary without the first entry."""

    name: str = Field(min_length=1)
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


class OtherColumn(FrozenModel):
    """A column that is no feature: the label, the patient key, or simply unused."""

    name: str = Field(min_length=1)
    kind: Literal["other"]


Column: TypeAlias = Annotated[
    NumberColumn | CategoryColumn | OtherColumn, Field(discriminator="kind")
]
#: A column that becomes numbers of the encoded record.
Feature: TypeAlias = Annotated[NumberColumn | CategoryColumn, Field(discriminator="kind")]

#: Spellings that mean a missing cell, where a cohort names no others.
MISSING = ("", "?", "NA", "NaN", "nan", "null")


def width_of(features: Iterable[NumberColumn | CategoryColumn]) -> int:
    """Returns the number of numbers that some columns become together."""
    return sum(column.width for column in features)


def check_columns(
    columns: Sequence[NumberColumn | CategoryColumn | OtherColumn], missing: Sequence[str]
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
        both = words & set(getattr(column, "tokens", ()))
        if both:
            raise ValueError(
                f"column {column.name!r}: {min(both)!r} is one of its values, and means "
                "missing: take it out of missing, or out of values"
            )
        both = set(missing) & set(getattr(column, "replace", ()))
        if both:
            raise ValueError(
                f"column {column.name!r}: {min(both)!r} is replaced, and means missing: take "
                "it out of missing, or out of replace"
            )
