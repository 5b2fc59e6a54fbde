"""Survival times of a table: two columns become one number, of each patient the longest."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.cohort.quality import ClassCounts
from pipelines.records import Records
from protocol.errors import CohortRefused
from protocol.study.study_file import read_study
from tests.support.simulated.studies import SURVIVAL_STUDY

COHORT = read_study(SURVIVAL_STUDY).cohort
HEADER = "age,ward,patient,years,died\n"


def load(folder: Path, rows: str) -> Records:
    (folder / "north.csv").write_text(HEADER + rows)
    return load_cohort(COHORT, folder / "north.csv", site="north", keep=())


def test_a_patients_records_all_have_its_longest_time(tmp_path: Path) -> None:
    rows = "50,A,p1,2,0\n51,A,p1,5,1\n60,B,p2,3,0\n61,B,p2,3,1\n70,C,p3,0,0\n"
    records = load(tmp_path, rows)
    assert records.labels[:4].tolist() == [5.0, 5.0, 3.0, 3.0]
    assert -1e-30 < records.labels[4] < 0
    assert ClassCounts.of(records, COHORT.label).classes == {"event": 2, "censored": 1}
    assert np.isfinite(records.labels).all()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("50,A,p1,11,1", r"column 'years', line 2.*outside the range \[0, 10\].*another unit"),
        ("50,A,p1,-1,1", "column 'years', line 2.*outside the range"),
        ("50,A,p1,long,1", "column 'years', line 2"),
        ("50,A,p1,,1", "column 'years', line 2"),
        ("50,A,p1,2,yes", "column 'died', line 2.*must be one of 0, 1"),
        ("50,A,p1,2,", "column 'died', line 2"),
    ],
)
def test_cells_that_say_nothing_of_survival_are_refused(
    tmp_path: Path, row: str, said: str
) -> None:
    with pytest.raises(CohortRefused, match=said):
        load(tmp_path, row + "\n")
