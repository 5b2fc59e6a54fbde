"""The tables of the Common Data Model 5.4 that a study can ask for, and how they are reached."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeAlias

#: A row: the 1-based line of a file in which it stands, 0 where there is none, and its cells.
Row: TypeAlias = tuple[int, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class EventTable:
    """A table of one kind of events: its columns by what they hold, None where it has none.

    ``moment``: the day with the time of the day, which a table need not fill, or have. ``study``:
    rows of one person that are equal there are one event.
    """

    name: str
    concept: str
    day: str
    moment: str | None
    last_day: str | None = None
    number: str | None = None
    answer: str | None = None
    unit: str | None = None
    study: str | None = None

    def columns(self, *, values: bool, last_day: bool) -> tuple[str, ...]:
        """Returns the columns that must be there."""
        valued = (self.number, self.answer, self.unit) if values else ()
        ends = (self.last_day,) if last_day else ()
        named = ("person_id", self.concept, self.day, self.study, *ends, *valued)
        return tuple(column for column in named if column is not None)


PERSON = "person"
DEATH = "death"
OBSERVATION_PERIOD = "observation_period"
CONCEPT_ANCESTOR = "concept_ancestor"
CDM_SOURCE = "cdm_source"
#: The columns that are always read of a table, where it is read.
PERSON_COLUMNS = ("person_id", "gender_concept_id", "year_of_birth")
DEATH_COLUMNS = ("person_id", "death_date")
PERIOD_COLUMNS = (
    "person_id",
    "observation_period_start_date",
    "observation_period_end_date",
)
ANCESTOR_COLUMNS = ("ancestor_concept_id", "descendant_concept_id")

#: The tables by the word under which a study asks for their events.
EVENT_TABLES: Mapping[str, EventTable] = {
    "visit": EventTable(
        name="visit_occurrence",
        concept="visit_concept_id",
        day="visit_start_date",
        moment="visit_start_datetime",
        last_day="visit_end_date",
    ),
    "condition": EventTable(
        name="condition_occurrence",
        concept="condition_concept_id",
        day="condition_start_date",
        moment="condition_start_datetime",
    ),
    "drug": EventTable(
        name="drug_exposure",
        concept="drug_concept_id",
        day="drug_exposure_start_date",
        moment="drug_exposure_start_datetime",
    ),
    "procedure": EventTable(
        name="procedure_occurrence",
        concept="procedure_concept_id",
        day="procedure_date",
        moment="procedure_datetime",
    ),
    "measurement": EventTable(
        name="measurement",
        concept="measurement_concept_id",
        day="measurement_date",
        moment="measurement_datetime",
        number="value_as_number",
        answer="value_as_concept_id",
        unit="unit_concept_id",
    ),
    "observation": EventTable(
        name="observation",
        concept="observation_concept_id",
        day="observation_date",
        moment="observation_datetime",
        number="value_as_number",
        answer="value_as_concept_id",
        unit="unit_concept_id",
    ),
    # Of the extension for medical imaging (MI-CDM); a row is a series, of which a study has many.
    "imaging": EventTable(
        name="image_occurrence",
        concept="modality_concept_id",
        day="image_occurrence_date",
        moment=None,
        study="image_study_uid",
    ),
}

#: Words of FHIR by the concepts that OMOP has for a person's sex.
SEX_CONCEPTS: Mapping[str, str] = {"8507": "male", "8532": "female", "8521": "other"}


class CdmTables(Protocol):
    """The tables of one hospital's Common Data Model, wherever they lie.

    Names are in lower case. Every method raises ``CohortRefused`` where the tables cannot be read.
    """

    @property
    def name(self) -> str:
        """The tables' name in messages: no folder, no address."""

    def columns(self, table: str) -> frozenset[str] | None:
        """Returns a table's columns, or None where there is no such table."""

    def file(self, table: str) -> str:
        """Returns the own name of the file in whose lines a table's rows stand; else nothing."""

    def rows(
        self, table: str, columns: Sequence[str], *, among: tuple[str, frozenset[int]] | None = None
    ) -> Iterator[Row]:
        """Yields rows of a table, each with its line in ``file``, as text; what is null is empty.

        Args:
            table: its name.
            columns: those wanted, in this order.
            among: a column and the numbers of which a row must have one there.
        """

    def unmapped(self, table: str, concept: str) -> tuple[int, int]:
        """Returns how many rows a table has, and how many of them have concept 0 or none."""


#: No number of a database has more.
_MOST_DIGITS = 1000


@lru_cache(maxsize=1 << 16)
def same_id(cell: str) -> str:
    """Returns the one spelling of a whole number, as files and databases write it.

    >>> same_id("8507.0"), same_id(" 012 "), same_id("")
    ('8507', '12', '')
    """
    text = cell.strip()
    whole, point, rest = text.partition(".")
    if point and not rest.strip("0"):
        text = whole
    return str(int(text)) if text.isdecimal() and len(text) <= _MOST_DIGITS else text
