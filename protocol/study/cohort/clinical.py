"""Clinical meanings: what a column is made of where a hospital keeps OMOP tables or FHIR resources.

Rules:

1. A meaning names the same thing in both worlds: OMOP's ``concepts`` and FHIR's ``codes``. A
   hospital uses the one that its records have.
2. Times are whole days from day 0, which the cohort's ``index`` defines; both ends of a window
   belong to it, and an end that is null is open.
3. A meaning makes cells of text. What a cell means as a number stays with the column itself.
"""

from collections.abc import Collection
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from protocol.study.frozen_model import FrozenModel

#: The number of a concept in OMOP's vocabularies; 0 is what no concept stands for.
ConceptId: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
#: A code as FHIR's searches write it: the system's address, a bar, the code.
Code: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\S{1,300}\|\S{1,100}$")]
#: A unit as UCUM spells it.
Unit: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\S{1,40}$")]
#: The first and the last day that count; null where there is none.
Window: TypeAlias = tuple[int | None, int | None]

#: The words that ``take: exists`` makes in a column of words.
NO, YES = "no", "yes"
#: The words for a person's sex: FHIR's AdministrativeGender, without what stands for unknown.
SEXES = ("female", "male", "other")

#: Those that give one of the records' own numbers or answers.
_OF_VALUES = frozenset({"last", "first", "mean", "min", "max"})


def _check_window(window: Window) -> None:
    low, high = window
    if low is not None and high is not None and low > high:
        raise ValueError(f"window must rise, got [{low}, {high}]")


#: What a record can be of: OMOP's tables, FHIR's resources. An imaging record is a whole study.
EventKind: TypeAlias = Literal[
    "visit", "condition", "drug", "measurement", "observation", "procedure", "imaging"
]


class Coding(FrozenModel):
    """One thing under its numbers in OMOP and its codes in FHIR.

    ``descendants``: what lies below the concepts in OMOP's hierarchy counts too. FHIR's resources
    bring no hierarchy: there every code that counts is listed.
    """

    concepts: tuple[ConceptId, ...] = Field(default=(), max_length=10_000)
    codes: tuple[Code, ...] = Field(default=(), max_length=10_000)
    descendants: bool = False

    @model_validator(mode="after")
    def _named(self) -> "Coding":
        if not self.concepts and not self.codes:
            raise ValueError("name concepts (OMOP) or codes (FHIR), best both")
        if 0 in self.concepts:
            raise ValueError("concept 0 stands for records without a concept: it names nothing")
        if self.descendants and not self.concepts:
            raise ValueError("descendants are those of concepts: name some")
        return self


class CodedAnswer(FrozenModel):
    """A coded answer of a record: a concept, a code, or a truth value as ``true`` or ``false``."""

    concepts: tuple[ConceptId, ...] = ()
    codes: tuple[Code | Literal["true", "false"], ...] = ()

    @model_validator(mode="after")
    def _named(self) -> "CodedAnswer":
        if not self.concepts and not self.codes:
            raise ValueError("name concepts (OMOP) or codes (FHIR) of the answer, best both")
        return self


class Index(Coding):
    """The events that begin a record: their day is day 0.

    ``take``: a person's first or last one; ``each`` makes a record of every one. ``at`` is the day
    on which a visit starts, or ends.
    """

    what: EventKind
    take: Literal["first", "last", "each"] = "first"
    at: Literal["start", "end"] = "start"

    @model_validator(mode="after")
    def _consistent(self) -> "Index":
        if self.at == "end" and self.what != "visit":
            raise ValueError("at: end is of visits")
        return self


class AgeAtIndex(FrozenModel):
    """A person's age at day 0, in whole years."""

    what: Literal["age"]

    @property
    def is_dated(self) -> bool:
        """Whether it needs a day 0."""
        return True

    def misfit(self, words: Collection[str] | None) -> str | None:
        """Returns why it cannot fill a column of these words, or of numbers (None)."""
        return None if words is None else "age is a number, this column holds words"


class Sex(FrozenModel):
    """A person's sex as it is recorded: ``female``, ``male`` or ``other``."""

    what: Literal["sex"]

    @property
    def is_dated(self) -> bool:
        """Whether it needs a day 0."""
        return False

    def misfit(self, words: Collection[str] | None) -> str | None:
        """Returns why it cannot fill a column of these words, or of numbers (None)."""
        if words is not None and set(words) <= set(SEXES):
            return None
        return f"sex is one of the words {', '.join(SEXES)}: values must be of them"


class Death(FrozenModel):
    """A person's death: whether there was one in the window, or its day."""

    what: Literal["death"]
    take: Literal["exists", "days"] = "exists"
    window: Window = (None, None)

    @model_validator(mode="after")
    def _consistent(self) -> "Death":
        _check_window(self.window)
        return self

    @property
    def is_dated(self) -> bool:
        """Whether it needs a day 0."""
        return self.take == "days" or self.window != (None, None)

    def misfit(self, words: Collection[str] | None) -> str | None:
        """Returns why it cannot fill a column of these words, or of numbers (None)."""
        return _existence(self.take, words)


class ClinicalEvents(Coding):
    """A person's records of one thing in a window, and what is taken of them.

    ``last`` and ``first`` are a record's own number or, with ``answers``, its coded answer by the
    word that stands for it; ``mean``, ``min`` and ``max`` are of the numbers; ``count`` is how many
    records there are; ``exists`` is ``yes`` or ``no`` (1 or 0 in a column of numbers); ``days`` is
    the day of the first. Imaging is asked for by its modality, and counted by study.

    ``unit`` is the unit of the column, ``unit_concepts`` the numbers of units in OMOP: of the
    column's own, and of those that it converts (``NumberColumn.units``). A record without a unit,
    in OMOP concept 0, has the unit that lists 0 there, if one does.
    """

    what: EventKind
    take: Literal["last", "first", "mean", "min", "max", "count", "exists", "days"]
    window: Window = (None, None)
    unit: Unit | None = None
    unit_concepts: dict[Unit, tuple[ConceptId, ...]] = Field(default_factory=dict, max_length=50)
    answers: dict[str, CodedAnswer] = Field(default_factory=dict, max_length=100)

    @model_validator(mode="after")
    def _consistent(self) -> "ClinicalEvents":
        _check_window(self.window)
        if self.take in _OF_VALUES and self.what not in ("measurement", "observation"):
            raise ValueError(
                f"take: {self.take} is of values, and a {self.what} has none: take exists, count "
                "or days"
            )
        if self.answers and self.take not in ("last", "first"):
            raise ValueError("answers are taken by take: last or first")
        if (self.unit or self.unit_concepts) and (self.take not in _OF_VALUES or self.answers):
            raise ValueError("a unit is of numbers: take last, first, mean, min or max")
        if self.unit_concepts and self.unit not in self.unit_concepts:
            raise ValueError("unit_concepts must hold the column's own unit, under its name")
        return self

    @property
    def is_dated(self) -> bool:
        """Whether it needs a day 0."""
        return self.take == "days" or self.window != (None, None)

    @property
    def has_values(self) -> bool:
        """Whether numbers or answers of the records are taken."""
        return self.take in _OF_VALUES

    def misfit(self, words: Collection[str] | None) -> str | None:
        """Returns why it cannot fill a column of these words, or of numbers (None)."""
        if self.take in ("exists", "days"):
            return _existence(self.take, words)
        if self.answers:
            if words is None:
                return "answers are words, this column holds numbers"
            if set(self.answers) != set(words):
                return f"answers must be of the column's words: {', '.join(sorted(words))}"
            return None
        return None if words is None else f"take: {self.take} makes numbers; say answers for words"


def _existence(take: str, words: Collection[str] | None) -> str | None:
    if words is None:
        return None
    if take == "exists" and set(words) == {NO, YES}:
        return None
    if take == "exists":
        return f"take: exists makes the words {NO} and {YES}: they must be the column's"
    return f"take: {take} makes numbers, this column holds words"


#: What a column is made of.
Clinical: TypeAlias = Annotated[
    AgeAtIndex | Sex | Death | ClinicalEvents, Field(discriminator="what")
]


def check_clinical(
    meanings: dict[str, Clinical | None], index: Index | None, missing: Collection[str]
) -> None:
    """Refuses meanings of which some are left out, or that have no day 0.

    Args:
        meanings: of every feature and of the label's columns.
        index: of the cohort.
        missing: the cohort's codes for a missing cell.

    Raises:
        ValueError: says which.
    """
    said = [name for name, meaning in meanings.items() if meaning is not None]
    if not said:
        if index is not None:
            raise ValueError("index is of clinical columns: no column says clinical")
        return
    unsaid = [name for name, meaning in meanings.items() if meaning is None]
    if unsaid:
        raise ValueError(
            f"column {unsaid[0]!r} says no clinical, column {said[0]!r} does: every feature and "
            "the label must, or none"
        )
    if not missing:
        raise ValueError("missing is empty: clinical columns need a code for what was not recorded")
    for name, meaning in meanings.items():
        if meaning is not None and meaning.is_dated and index is None:
            raise ValueError(
                f"column {name!r} counts days, and nothing says from when: write an index"
            )
