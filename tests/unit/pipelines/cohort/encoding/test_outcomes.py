"""Labels of dates: an event within so many days, or the days to it, by the ends that are stated."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console

from pipelines.cohort.encoding.outcomes import outcomes
from pipelines.cohort.loading import load_cohort
from pipelines.cohort.quality import ClassCounts, quality_of
from pipelines.records import Records
from protocol.errors import CohortRefused, StudyRefused
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.labels import EventLabel, TimeToEventLabel
from protocol.study.study_file import read_study
from silos.config.policy import columns_read
from silos.preflight.quality_table import print_quality
from tests.support.simulated.studies import TABLE_STUDY

DATES = {"event_date": "back", "index_date": "left", "observed_until": "seen"}
WITHIN: dict[str, Any] = DATES | {"within_days": 30}
TIMES: dict[str, Any] = DATES | {"range": [0, 3650]}
TABLE: dict[str, Any] = {
    "kind": "table",
    "patient_key": "id",
    "columns": [
        {"name": "age", "kind": "number", "range": [0, 120]},
        *({"name": name, "kind": "date"} for name in ("left", "back", "seen")),
    ],
    "label": WITHIN,
    "min_patients": 1,
}
HEAD = "id,age,left,back,seen\n"


def cohort_of(label: dict[str, Any] = WITHIN, **changes: Any) -> TableCohort:
    return TableCohort.model_validate(TABLE | {"label": label} | changes)


def load(tmp_path: Path, rows: str, label: dict[str, Any] = WITHIN, **changes: Any) -> Records:
    file = tmp_path / "records.csv"
    file.write_text(HEAD + rows)
    return load_cohort(cohort_of(label, **changes), file, site="north")


@pytest.mark.parametrize(
    ("back", "seen", "label"),
    [
        ("2020-03-02", "2020-12-31", 1),  # day 1
        ("2020-03-31", "2020-12-31", 1),  # day 30
        ("2020-04-01", "2020-12-31", 0),  # day 31
        ("", "2020-12-31", 0),
        ("", "2020-03-31", 0),  # observed through day 30
        ("2020-03-31", "2020-03-31", 1),
        ("2020-03-05", "2020-03-05", 1),  # an event counts however short the observation
    ],
)
def test_an_event_within_thirty_days_counts_from_day_1_to_day_30(
    tmp_path: Path, back: str, seen: str, label: int
) -> None:
    records = load(tmp_path, f"p,50,2020-03-01,{back},{seen}\n")
    assert records.labels.tolist() == [label]
    assert "back" not in records.noted.missing


def test_one_last_day_for_all_records(tmp_path: Path) -> None:
    label = WITHIN | {"observed_until": "2020-03-31", "unobserved": "drop"}
    rows = "p,50,2020-03-01,,\nq,50,2020-03-02,,\nr,50,2020-03-02,2020-04-01,\n"
    records = load(tmp_path, rows, label)
    assert records.rows.tolist() == [0] and records.noted.unobserved.tolist() == [1, 2]


def test_whoever_was_not_observed_for_long_enough_is_refused_or_left_out(tmp_path: Path) -> None:
    rows = "p,50,2020-03-01,,2020-12-31\nq,50,2020-03-01,,2020-03-30\n"
    with pytest.raises(CohortRefused) as refused:
        load(tmp_path, rows)
    assert (
        "column 'left', line 3: no event, and not observed through day 30; in the study write "
        "unobserved: drop"
    ) in str(refused.value)
    label = WITHIN | {"unobserved": "drop"}
    records = load(tmp_path, rows, label)
    assert records.rows.tolist() == [0] and records.noted.unobserved.tolist() == [1]
    report = quality_of(records, records, records.take(np.zeros(1, bool)), cohort_of(label))
    assert report.to_json()["times"] == {
        "outside_window": 0, "unobserved": "fewer than 10", "before_index": 0, "cut": {},
        "completed": {},
    }  # fmt: skip
    assert (report.file.dropped, report.whole.records_ill) == (0, 0)


@pytest.mark.parametrize("back", ["2020-02-28", "2020-03-01"])
def test_an_event_before_the_days_that_count_is_refused_or_ignored(
    tmp_path: Path, back: str
) -> None:
    row = f"p,50,2020-03-01,{back},2020-12-31\n"
    with pytest.raises(CohortRefused, match="'back', line 2: an event before the index day, or on"):
        load(tmp_path, row)
    with pytest.raises(CohortRefused):  # before what was not observed is looked at
        load(tmp_path, row.replace("12-31", "03-02"), WITHIN | {"unobserved": "drop"})
    ignored = load(tmp_path, row, WITHIN | {"before_index": "ignore"})
    assert ignored.labels.tolist() == [0] and ignored.noted.before_index.tolist() == [0]


def test_the_index_day_counts_where_the_study_says_so(tmp_path: Path) -> None:
    row = "p,50,2020-03-01,2020-03-01,2020-12-31\n"
    assert load(tmp_path, row, WITHIN | {"from_day": 0}).labels.tolist() == [1]


def test_days_to_the_event_or_to_the_end_of_the_observation(tmp_path: Path) -> None:
    rows = (
        "p,50,2020-03-01,2020-03-11,2020-12-31\n"
        "q,50,2020-03-01,,2020-03-21\n"
        "r,50,2020-03-01,2020-04-10,2020-03-31\n"  # later than anybody looked
        "s,50,2020-03-01,2020-03-03,2020-03-31\ns,50,2020-03-01,,2020-03-08\n"
    )
    records = load(tmp_path, rows, TIMES)
    assert records.labels.tolist() == [10, -20, -30, -7, -7]
    counts = ClassCounts.of(records, cohort_of(TIMES).label)
    assert counts.classes == {"event": 1, "censored": 3}


def test_times_that_are_no_follow_up_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused, match="no event, and not observed for long enough"):
        load(tmp_path, "p,50,2020-03-01,,2020-02-01\n", TIMES)
    with pytest.raises(CohortRefused, match=r"days to event .* outside the range \[0, 3650\]"):
        load(tmp_path, "p,50,1990-03-01,,2020-02-01\n", TIMES)


def test_a_missing_index_day_is_refused_or_dropped_and_no_event_is_not_missing(
    tmp_path: Path,
) -> None:
    rows = "p,50,,2020-03-11,2020-12-31\nq,50,2020-03-01,,2020-12-31\n"
    with pytest.raises(CohortRefused, match="'left', line 2: the cell is missing") as refused:
        load(tmp_path, rows)
    assert str(refused.value).count("\n") == 0
    records = load(tmp_path, rows, on_missing="drop_row")
    assert records.rows.tolist() == [1]


DAYS = st.integers(730_000, 740_000)


@given(index=DAYS, event=st.none() | DAYS, until=DAYS, within=st.integers(1, 400))
def test_a_label_follows_from_the_dates_as_the_page_says(
    index: int, event: int | None, until: int, within: int
) -> None:
    label = EventLabel.model_validate(WITHIN | {"within_days": within})
    days = [np.array([np.nan if day is None else day]) for day in (event, index, until)]
    found = outcomes(label, *days)
    ill = event is not None and index < event <= min(index + within, until)
    assert found.labels.tolist() == [ill]
    assert found.unobserved.tolist() == [not ill and until < index + within]
    assert found.before_index.tolist() == [event is not None and event <= index]
    times = outcomes(TimeToEventLabel.model_validate(TIMES), *days)
    came = event is not None and index < event <= until
    assert (times.labels[0] > 0) == came
    assert times.days.tolist() == [event - index if came and event else until - index]


def test_the_label_of_a_record_depends_on_that_record_alone(tmp_path: Path) -> None:
    rows = ["p,50,2020-03-01,2020-03-11,2020-12-31\n", "q,50,2020-03-01,,2020-12-31\n"]
    whole = load(tmp_path, "".join(rows))
    assert [load(tmp_path, row).labels.tolist()[0] for row in rows] == whole.labels.tolist()


STUDY = TABLE_STUDY.replace(
    "{column: ill, positive: [1], negative: [0]}",
    "{event_date: back, index_date: left, observed_until: seen, within_days: 30}\n"
    '  window: {column: came, until: "2023-12-31"}',
).replace(
    "    - {name: ill, kind: other}\n",
    "".join(f"    - {{name: {name}, kind: date}}\n" for name in ("back", "left", "seen", "born"))
    + "    - {name: came, kind: date, since: born, unit: years, range: [0, 120]}\n",
)


def test_a_hospital_allows_every_column_that_label_window_and_dates_are_read_from() -> None:
    assert columns_read(read_study(STUDY)) == (
        "age", "back", "born", "came", "left", "patient", "seen", "ward",
    )  # fmt: skip


def test_the_tasks_of_both_labels_of_dates() -> None:
    study = read_study(STUDY)
    assert study.task.outputs(study.cohort.label) == 1
    assert read_study(study.canonical_bytes.decode()).digest == study.digest
    assert study.cohort.width == 4 and '"since":"born"' in study.canonical_bytes.decode()
    survival = STUDY.replace("within_days: 30", "range: [0, 3650]")
    with pytest.raises(StudyRefused, match="needs a label with positive and negative, or event_"):
        read_study(survival)
    kind = "task:\n  kind: survival\n  times: [365, {}]\n  event_free: [0.9, 0.8]\n"
    told = read_study(survival.replace("task:\n", kind.format(730)))
    assert read_study(told.canonical_bytes.decode()).digest == told.digest
    with pytest.raises(StudyRefused, match="9999 lies beyond the label's range"):
        read_study(survival.replace("task:\n", kind.format(9999)))
    with pytest.raises(StudyRefused, match="needs a label with a time and an event, or event_date"):
        read_study(STUDY.replace("task:\n", kind.format(730)))


def test_contradictions_are_refused_when_the_study_is_read() -> None:
    for label, said in (
        (WITHIN | {"column": "ill"}, "take column out"),
        (WITHIN | {"observed_until": "left"}, "are different columns"),
        (WITHIN | {"index_date": "when"}, "'when' is no column of dates: declare"),
        (WITHIN | {"within_days": 0}, "greater than or equal to 1"),
        (DATES | {"range": [5, 1]}, "range must rise"),
        (DATES, "Field required"),
    ):
        with pytest.raises(ValidationError, match=said):
            cohort_of(label)
    leak = {"name": "back", "kind": "date", "since": "left", "range": [0, 99]}
    columns = [*TABLE["columns"][:2], leak, TABLE["columns"][3]]
    with pytest.raises(ValidationError, match="must not be features as well"):
        cohort_of(columns=columns)


def test_what_dates_made_of_rows_is_printed(tmp_path: Path) -> None:
    label = WITHIN | {"unobserved": "drop", "before_index": "ignore"}
    window = {"column": "left", "since": "2020-01-01"}
    rows = (
        "p,50,2020-03-01,,2020-12-31 08:00\nq,50,2020-03-01,,2020-03-30\n"
        "r,50,2019-03-01,,2020-03-30\ns,50,2020-03-01,2020-02-01,2020-12-31\n"
    )
    records = load(tmp_path, rows, label, window=window)
    nobody = records.take(np.zeros(len(records), bool))
    report = quality_of(records, records, nobody, cohort_of(label, window=window))
    screen = Console(record=True, width=100, file=io.StringIO())
    print_quality({"north": report}, screen)
    printed = screen.export_text()
    for line in (
        "north: <10 rows outside the window of time, left out",
        "north: <10 rows not observed for long enough, left out",
        "north: <10 rows with an event before the days that count, ignored",
        "north: seen: <10 dates with a time of day, cut off",
    ):
        assert line in printed
