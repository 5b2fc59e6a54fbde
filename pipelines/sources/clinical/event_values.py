"""Values of events: the number or answer that one has for those who ask, or why it has none.

OMOP and FHIR find numbers, units and answers each in their own way; what becomes of them is decided
here. ``of`` is the table or the type of resources that is read, ``at`` the place of the record.
"""

from collections.abc import Iterable

from pipelines.sources.clinical.tally import Place, Reason, Tally
from pipelines.sources.clinical.wanted import Ask, Value


def answered(
    listed: Iterable[bool], ask: Ask, tally: Tally, of: str, at: Place | None, *, is_told: bool
) -> Value | None:
    """Returns the place of an answer among those that a study lists.

    Args:
        listed: of each of the study's answers, whether it is this one.
        ask: what asks for it.
        tally: counts the record where it has no such answer.
        of: what is read.
        at: the record's place.
        is_told: whether the record has any answer.
    """
    place = next((place for place, is_one in enumerate(listed) if is_one), None)
    if place is not None:
        return Value(float(place))
    tally.leave_out((_other_answer if is_told else _no_answer)(ask.name, of), at=at)
    return None


def measured(
    number: float | None,
    unit: str,
    ask: Ask,
    tally: Tally,
    of: str,
    at: Place | None,
    *,
    named: str,
    is_told: bool,
) -> Value | None:
    """Returns a number in the unit of the column that asks for it.

    Args:
        number: as it is told; None where it is none.
        unit: as it is told.
        ask: what asks for it.
        tally: counts the record where no number can be taken of it.
        of: what is read.
        at: the record's place.
        named: the study's name of the unit; empty where it has none.
        is_told: whether the record tells a unit.
    """
    if number is None:
        tally.leave_out(_no_number(ask.name, of), at=at)
        return None
    if ask.unit is None:
        tally.note_unit(ask.name, unit, at)
        return Value(number)
    converted = ask.converted(number, named)
    if converted is None:
        tally.refuse(_other_unit(ask.name, of, ask.unit, is_told=is_told), at=at)
    return converted


def _no_number(column: str, of: str) -> Reason:
    """Returns that records have no number."""
    return Reason(
        column=column,
        what=f"records of {of} have no number as their value",
        remedy="fill it, if the records have it; they are left out",
    )


def _no_answer(column: str, of: str) -> Reason:
    """Returns that records have no coded answer."""
    return Reason(
        column=column,
        what=f"records of {of} have no coded answer",
        remedy="code it, if the records have it; they are left out",
    )


def _other_answer(column: str, of: str) -> Reason:
    """Returns that records have an answer that the study does not list."""
    return Reason(
        column=column,
        what=f"records of {of} have an answer that the study does not list",
        remedy="ask for it among the column's answers; they are left out",
    )


def _other_unit(column: str, of: str, unit: str, *, is_told: bool) -> Reason:
    """Returns that records have another unit than the column, or tell none."""
    if not is_told:
        return Reason(
            column=column,
            what=f"records of {of} tell no unit, the study's is {unit}",
            remedy="write the unit; or the study lists 0 among the unit_concepts of a unit, for "
            "records without one",
        )
    return Reason(
        column=column,
        what=f"records of {of} are in another unit, the study's is {unit}",
        remedy="convert them in the source, and write the unit that they then have",
    )
