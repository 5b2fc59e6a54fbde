"""Columns of groups: read in the study's unit, and a cell without a value keeps nobody out."""

from pathlib import Path

import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.evaluation.groups import NO_GROUP, groups_of_patients
from pipelines.sources.source import RecordFile
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort
from protocol.study.task.evaluation import Grouping

COHORT = {
    "kind": "table",
    "patient_key": "row",
    "label": {"column": "ill", "positive": [1], "negative": [0]},
    "min_patients": 1,
    "missing": ["", "-1"],
    "columns": [
        {"name": "age", "kind": "number", "range": [0, 120], "impute": 60, "replace": {"> 89": 90}},
        {
            "name": "temperature",
            "kind": "number",
            "range": [30, 43],
            "centre": 37,
            "unit": "Cel",
            "units": {"degF": {"scale": 5 / 9, "offset": -160 / 9}},
        },
    ],
}
HEAD = "age,temperature,scanner,ill\n"
AGE = Grouping(column="age", edges=(50, 90))
FEVER = Grouping(column="temperature", edges=(38,))
SCANNER = Grouping(column="scanner", values={"new": "N", "old": "O"})


def places(
    tmp_path: Path, text: str, *groupings: Grouping, units: dict[str, str] | None = None,
    keep: tuple[str, ...] = (), **changes: str,
) -> list[list[int]]:  # fmt: skip
    file = tmp_path / "records.csv"
    file.write_text(HEAD + text)
    cohort = TableCohort.model_validate(COHORT | changes)
    source = RecordFile(path=file, units=units or {})
    records = load_cohort(cohort, source, site="north", keep=keep, groupings=groupings)
    return groups_of_patients(records, groupings).T.tolist()


def test_bands_are_of_the_studys_unit_and_not_of_the_hospitals(tmp_path: Path) -> None:
    cells = "70,98.6,N,1\n70,102.2,O,0\n"
    assert places(tmp_path, cells, FEVER, units={"temperature": "degF"}) == [[0, 1]]


def test_a_replaced_text_has_its_number_and_a_code_for_missing_has_none(tmp_path: Path) -> None:
    cells = "> 89,37,N,1\n-1,37,N,1\n-1.0,37,N,0\n,37,N,0\n49,37,N,0\n"
    assert places(tmp_path, cells, AGE) == [[2, NO_GROUP, NO_GROUP, NO_GROUP, 0]]


@pytest.mark.parametrize("on_missing", ["refuse", "drop_row"])
def test_a_patient_without_a_value_is_in_no_group_and_stays(
    tmp_path: Path, on_missing: str
) -> None:
    cells = "70,37,N,1\n70,37,,0\n70,37,O,0\n70,37,-1,0\n"
    found = places(tmp_path, cells, SCANNER, on_missing=on_missing)
    assert found == [[0, NO_GROUP, 1, NO_GROUP]]


def test_a_column_that_splits_too_must_have_its_value(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused, match="column 'scanner', line 3: the cell is missing"):
        places(tmp_path, "70,37,N,1\n70,37,,0\n", SCANNER, keep=("scanner",))


def test_a_code_for_missing_may_be_named_as_a_group(tmp_path: Path) -> None:
    named = Grouping(column="scanner", values={"known": ["N", "O"], "unknown": "-1"})
    assert places(tmp_path, "70,37,N,1\n70,37,-1,0\n", named) == [[0, 1]]
