"""The base of every kind of place where a hospital's records lie: whose they are."""

from typing import Annotated, TypeAlias

from pydantic import StringConstraints

from protocol.study.frozen_model import FrozenModel

Column: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class RecordPlace(FrozenModel):
    """A place of records, and what is stated about whose they are.

    ``patient_number`` names the column that holds this hospital's own number of a
    person, the same for life and in every data set; ``one_row_is_one_person`` says
    that no person has two rows. Nothing is taken for granted (``patient_statement``).
    """

    patient_number: Column | None = None
    one_row_is_one_person: bool = False
