"""A hospital's statement about the unit of its records, and what follows for a study.

Nobody but the hospital can know whether two rows are one person, or whether a key is
the person's for life. A study only names a column. So:

1. A study that takes every row as a patient, and protects patients, needs the
   hospital's statement that one row is one person; else it may protect records.
2. A patient surely stays a training or a test patient for life only where the split
   follows from the hospital's life-long patient number. Then the two groups have a
   budget each; anywhere else whatever a study costs is charged to everybody.
3. In a simulation nobody has stated anything, and its report says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from compliance.ledger.entries import Partition
from pipelines.records import Records
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import KeyedHashSplit, Study

#: The key that stands for "every row is a patient".
ROW = "row"


@dataclass(frozen=True, kw_only=True)
class PatientStatement:
    """The statement about patients in the site file; nothing is stated unless it is written there.

    ``patient_number`` is the column that holds the hospital's own number of a person,
    the same for life and in every data set.
    """

    patient_number: str | None = None
    one_row_is_one_person: bool = False


NOTHING_STATED = PatientStatement()
#: What a hospital can do about a statement that a study needs.
STATE_IT = (
    "if one row is one person, write one_row_is_one_person: true under data in the site file; "
    "else ask for privacy.unit: record"
)


def missing_statement(study: Study, stated: PatientStatement) -> str | None:
    """Returns what a study needs the hospital to state and the site file does not; else None."""
    privacy = study.privacy
    if not isinstance(privacy, PatientPrivacy) or privacy.unit != "patient":
        return None
    if study.cohort.patient_key != ROW or stated.one_row_is_one_person:
        return None
    return "the study takes every row as one patient, and this hospital has not said that it is"


def patient_is(study: Study, stated: PatientStatement, *, simulated: bool) -> str:
    """Returns what a patient is here, and who says so: a key of ``claims.PATIENTS``."""
    privacy = study.privacy
    if isinstance(privacy, PatientPrivacy) and privacy.unit == "record":
        return "record"
    if study.cohort.patient_key == ROW:
        return "assumed row" if simulated else "stated row"
    return "stated number" if stays_on_one_side(study, stated) else "key"


def stays_on_one_side(study: Study, stated: PatientStatement) -> bool:
    """Whether every patient of this study is a training or a test patient for life.

    A study that trains nothing counts both.
    """
    privacy = study.privacy
    return (
        study.has_model
        and isinstance(privacy, PatientPrivacy)
        and privacy.unit == "patient"
        and isinstance(study.split, KeyedHashSplit)
        and stated.patient_number is not None
        and study.cohort.patient_key == stated.patient_number
    )


def sides_of(train: Records, test: Records) -> dict[str, Partition]:
    """Returns each patient's side, by the patient's key."""
    return dict(_sides(train, test))


def _sides(train: Records, test: Records) -> Iterator[tuple[str, Partition]]:
    for key in train.patient_keys:
        yield key, "training"
    for key in test.patient_keys:
        yield key, "evaluation"
