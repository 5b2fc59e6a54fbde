"""A row takes of a person's records what the contract says, by day and by time of day."""

from datetime import date
from typing import Any

import numpy as np
import pytest

from pipelines.sources.clinical.dates import When, read_when
from pipelines.sources.clinical.records import ClinicalRecords, GrowingEvents, GrowingPersons
from pipelines.sources.clinical.rows import table_of
from pipelines.sources.clinical.tally import Tally
from pipelines.sources.clinical.wanted import DAY_ZERO, DEATHS
from pipelines.sources.tables.table import SourceTable
from protocol.study.cohort.cohort import TableCohort

ZERO = date(2024, 6, 1)


def when(days: int | str, second: int = 0) -> When:
    """Returns a day from day 0, or a date."""
    if isinstance(days, str):
        found = read_when(days)
        assert found is not None
        return found
    day = ZERO.toordinal() + days
    return When(day, day, second)


Told = list[tuple[When, float] | tuple[When, float, bool]]


def made(
    column: dict[str, object],
    events: Told,
    *,
    label: dict[str, object] | None = None,
    begins: list[int] = [0],  # noqa: B006
    take: str = "first",
    until: int = 365,
    died: str | None = None,
    labels: Told = [],  # noqa: B006
) -> SourceTable:
    """Returns the table that a person's records become."""
    visit = {"what": "visit", "concepts": [1]}
    cohort = TableCohort.model_validate(
        {
            "kind": "table",
            "patient_key": "person",
            "index": visit | {"take": take},
            "columns": [{"name": "x", **column}],
            "label": label
            or {
                "column": "y",
                "positive": ["yes"],
                "negative": ["no"],
                "clinical": visit | {"take": "exists", "window": [1, 30]},
            },
        }
    )
    persons, days, spans, dead = GrowingPersons(), GrowingEvents(), GrowingEvents(), GrowingEvents()
    persons.add("7", "female", read_when("1950-06-15"))
    for begin in begins:
        days.add(0, when(begin))
    spans.add(0, When(when(-1000).first, when(until).first))
    if died is not None:
        dead.add(0, when(died))
    found = {"x": GrowingEvents(), str(cohort.label.column): GrowingEvents()}
    for name, told in (("x", events), (str(cohort.label.column), labels)):
        for moment, *value in told:
            found[name].add(0, moment, *value)
    records = ClinicalRecords(
        persons=persons.persons(),
        events={n: e.events() for n, e in {**found, DAY_ZERO: days, DEATHS: dead}.items()},
        observed=spans.events(),
        tally=Tally(),
    )
    table = table_of(records, cohort, site="east", file="records", keep=())
    assert not table.faults
    return table


def cells(*given: Any, **named: Any) -> dict[str, list[str]]:
    """Returns the cells that a person's records become."""
    table = made(*given, **named)
    return {name: list(column) for name, column in table.cells.items()}


def number(take: str, low: int | None = None, high: int | None = 0) -> dict[str, object]:
    return {
        "kind": "number",
        "range": [0, 1000],
        "clinical": {"what": "measurement", "concepts": [2], "take": take, "window": [low, high]},
    }


MEASURED = [
    (when(-400), 5.0),
    (when(-3, 100), 9.0),
    (when(-3, 200), 7.0),
    (when(0), 8.0),
    (when(1), 99.0),
]


@pytest.mark.parametrize(
    ("take", "low", "cell"),
    [
        ("last", None, "8.0"),
        ("first", None, "5.0"),
        ("first", -10, "9.0"),
        ("mean", -10, "8.0"),
        ("min", -10, "7.0"),
        ("max", None, "9.0"),
        ("count", -365, "3.0"),
        ("exists", -365, "1.0"),
        ("days", -365, "-3.0"),
    ],
)
def test_what_is_taken_is_of_the_records_in_the_window(take: str, low: int, cell: str) -> None:
    for order in (MEASURED, MEASURED[::-1]):
        assert cells(number(take, low), order)["x"] == [cell]


@pytest.mark.parametrize(
    ("take", "rows"),
    [("first", []), ("last", [0]), ("min", [0]), ("mean", [0]), ("max", [0])],
)
def test_a_cell_counts_as_converted_where_what_it_is_made_of_was(
    take: str, rows: list[int]
) -> None:
    told = [(when(-9), 5.0), (when(-3), 9.0, True), (when(1), 7.0)]
    found = made(number(take), told, begins=[0, 200], take="each").converted
    later = [] if take in ("first", "last") else [1]
    assert found.get("x", np.array([])).tolist() == rows + later
    assert not made(number(take), [each[:2] for each in told]).converted


def test_nothing_in_the_window_is_missing_but_for_counts() -> None:
    outside = [(when(5), 3.0)]
    assert cells(number("last"), outside)["x"] == [""]
    assert cells(number("days"), outside)["x"] == [""]
    assert cells(number("count"), outside)["x"] == ["0.0"]


def test_a_partial_date_counts_where_the_window_holds_all_of_it() -> None:
    told = [(when("2023"), 1.0), (when("2024-05"), 2.0), (when("2024-06"), 3.0)]
    assert cells(number("count", -900), told)["x"] == ["2.0"]
    assert cells(number("last", -200), told)["x"] == ["2.0"]


def test_every_index_event_is_a_row_of_its_own() -> None:
    found = cells(number("last", -30), MEASURED, begins=[100, 0, 20], take="each")
    assert found["x"] == ["8.0", "99.0", ""]
    assert found["person"] == ["7", "7", "7"]


def test_first_and_last_index_event() -> None:
    assert cells(number("last"), MEASURED, begins=[1, -100], take="first")["x"] == ["5.0"]
    assert cells(number("last"), MEASURED, begins=[1, -100], take="last")["x"] == ["99.0"]


def test_an_event_that_did_not_come_is_a_no_only_where_it_was_waited_for() -> None:
    came = [(when(12), 0.0)]
    assert cells(number("last"), MEASURED, labels=came)["y"] == ["yes"]
    assert cells(number("last"), MEASURED, labels=came, until=15)["y"] == ["yes"]
    assert cells(number("last"), MEASURED)["y"] == ["no"]
    assert cells(number("last"), MEASURED, until=30)["y"] == ["no"]
    assert cells(number("last"), MEASURED, until=29)["y"] == [""]
    assert cells(number("last"), MEASURED, died="2024-06-20")["y"] == [""]


SURVIVAL = {
    "column": "days",
    "event": "died",
    "occurred": ["yes"],
    "censored": ["no"],
    "range": [0, 1000],
    "clinical": {"what": "death", "take": "days", "window": [0, 500]},
}


@pytest.mark.parametrize(
    ("died", "until", "time", "event"),
    [("2024-06-21", 365, "20.0", "yes"), (None, 365, "365.0", "no"), (None, 900, "500.0", "no"),
     ("2026-06-21", 900, "500.0", "no"), (None, -5, "", "")],
)  # fmt: skip
def test_a_survival_label_is_the_time_to_the_event_or_to_the_end_of_observation(
    died: str | None, until: int, time: str, event: str
) -> None:
    found = cells(number("last"), MEASURED, label=SURVIVAL, died=died, until=until)
    assert (found["days"], found["died"]) == ([time], [event])


def test_age_is_in_whole_years_at_day_zero() -> None:
    column = {"kind": "number", "range": [0, 120], "clinical": {"what": "age"}}
    assert cells(column, [])["x"] == ["73"]
    assert cells(column, [], begins=[14])["x"] == ["74"]
