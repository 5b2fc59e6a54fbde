"""A hospital with too few patients of a class, a finding or an event in a part is refused."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.cohort.loading import check_cohort
from pipelines.records import Records
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort

BINARY = {"column": "ill", "positive": [1], "negative": [0]}
CLASSES = {"column": "stage", "classes": {"early": [1], "late": [2]}}
FINDINGS = {"findings": {name: BINARY | {"column": name} for name in ("cough", "fever")}}
SURVIVAL = {"column": "t", "event": "e", "occurred": [1], "censored": [0], "range": [0, 9]}


def cohort_of(label: dict[str, Any], **changes: Any) -> TableCohort:
    column = {"name": "age", "kind": "number", "range": [0, 120]}
    return TableCohort.model_validate(
        {"kind": "table", "patient_key": "row", "label": label, "columns": [column],
         "min_patients": 1, "min_per_class": 2} | changes
    )  # fmt: skip


def records(labels: list[Any]) -> Records:
    places = np.arange(len(labels))
    return Records(
        features=np.zeros((len(labels), 1), np.float32),
        labels=np.array(labels, dtype=np.float32),
        patients=places,
        patient_keys=tuple(map(str, places)),
        rows=places,
    )


@pytest.mark.parametrize(
    ("label", "enough", "few", "said"),
    [
        (BINARY, [0, 1, 0, 1], [0, 0, 1], "fewer than 10 patients with a positive label"),
        (BINARY, [0, 1, 0, 1], [1, 1, 1], "0 patients with a negative label"),
        (CLASSES, [0, 1, 0, 1], [0, 0, 1], "fewer than 10 patients with class late"),
        (FINDINGS, [[1, 1], [1, 1]], [[1, 1], [0, 1]], "fewer than 10 patients with finding cough"),
        (SURVIVAL, [3, 4, -1], [3, -4, -1], "fewer than 10 patients with an event"),
    ],
)
def test_too_few_of_a_class_in_either_part_are_refused(
    label: dict[str, Any], enough: list[Any], few: list[Any], said: str
) -> None:
    cohort, good, bad = cohort_of(label), records(enough), records(few)
    check_cohort(good, good, cohort, site="east", declared=10)
    with pytest.raises(CohortRefused, match=f"site east: {said} in the test part, the study's min"):
        check_cohort(good, bad, cohort, site="east", declared=10)
    if len(np.unique(bad.labels)) > 1:
        with pytest.raises(CohortRefused, match=f"{said} in the training part.*min_per_class"):
            check_cohort(bad, good, cohort, site="east", declared=10)


def test_every_group_is_told_and_an_empty_part_has_none() -> None:
    with pytest.raises(CohortRefused) as refused:
        check_cohort(records([0, 1]), records([]), cohort_of(BINARY), site="east", declared=10)
    assert str(refused.value).count("site east: ") == 4


def test_a_study_that_says_nothing_asks_for_nothing() -> None:
    cohort = cohort_of(BINARY, min_per_class=None)
    check_cohort(records([0, 1]), records([]), cohort, site="east", declared=10)
    assert "min_per_class" not in cohort.model_dump()


def test_what_has_no_classes_has_no_minimum_of_them() -> None:
    with pytest.raises(ValidationError, match="a number has no classes"):
        cohort_of({"column": "days", "range": [0, 9]})
    with pytest.raises(ValidationError, match="take allow_one_class out"):
        cohort_of(BINARY, allow_one_class=True)
