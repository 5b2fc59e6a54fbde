"""A patient is in the group that its first record says, and in none where that says nothing."""

import numpy as np

from pipelines.evaluation.groups import NO_GROUP, groups_of_patients
from pipelines.records import Records
from protocol.study.task.evaluation import Grouping

SEX = Grouping.model_validate({"column": "sex", "values": {"women": [0, "F"], "men": ["M", True]}})
AGE = Grouping.model_validate({"column": "age", "edges": [50, 65]})


def records(patients: list[int], **columns: list[str]) -> Records:
    count = len(patients)
    return Records(
        features=np.zeros((count, 1), dtype=np.float32),
        labels=np.zeros(count, dtype=np.float32),
        patients=np.array(patients, dtype=np.int64),
        patient_keys=tuple(map(str, range(max(patients, default=-1) + 1))),
        rows=np.arange(count),
        columns={name: np.array(cells, dtype=np.str_) for name, cells in columns.items()},
    )


def test_values_in_any_spelling_and_bands_with_their_lower_edge() -> None:
    sexes = ["0", "0.0", "F", "M", "true", "1", "", "?"]
    ages = ["49.9", "50", "64", "65", "1e2", "", "old", "nan"]
    found = groups_of_patients(records([*range(8)], sex=sexes, age=ages), (SEX, AGE))
    men, women, none = 0, 1, NO_GROUP
    assert SEX.groups == ("men", "women")
    assert found[:, 0].tolist() == [women, women, women, men, men, none, none, none]
    assert found[:, 1].tolist() == [0, 1, 1, 2, 2, none, none, none]


def test_the_first_record_of_a_patient_says_it() -> None:
    found = groups_of_patients(records([0, 1, 0, 1], sex=["F", "M", "M", "F"]), (SEX,))
    assert found.tolist() == [[1], [0]]


def test_nobody_and_no_grouping_give_no_places() -> None:
    assert groups_of_patients(records([], sex=[]), (SEX,)).shape == (0, 1)
    assert groups_of_patients(records([0, 1]), ()).shape == (2, 0)
