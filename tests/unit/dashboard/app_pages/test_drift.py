"""The page Drift: calendars of monitoring studies, and what to do about them."""

from dataclasses import replace

import numpy as np
import pytest

from compliance.facts.drift_calendar import DriftCalendar
from dashboard.rows.calendars import steps_of
from tests.support.simulated import dossiers
from tests.support.simulated.drifts import calendar_with, drifted, release
from tests.support.simulated.shown_page import again, sentences, show
from tests.support.simulated.stored_runs import StoredRuns


def begun() -> DriftCalendar:
    """Only the reference was made."""
    return calendar_with(release(0, np.random.default_rng(1)))


def test_a_store_without_monitoring_says_how_to_begin() -> None:
    assert "No monitoring study has run here" in sentences(show(StoredRuns(), "drift"))


def test_drift_stands_with_every_series_and_what_it_does_not_say() -> None:
    page = show(StoredRuns(dossiers.finished(), calendars=(drifted(),)), "drift")
    said = sentences(page)
    assert "2 of 3 releases after the reference: the newest shows drift of lab." in said
    assert "it does not say why" in said and "Left: 1 release, paid for" in said
    assert page.success[0].value.startswith("**Verified by the signed log")
    shown = {metric.label: (metric.value, note.value) for metric, note in
             zip(page.metric, page.caption[1:], strict=False)}  # fmt: skip
    assert shown["Releases"] == ("2", "of 3 after the reference")
    assert shown["Columns that drifted"][0] == "1"
    assert shown["ε for one patient"][0] == "4"
    assert len(page.get("vega_lite_chart")) == 3  # two distances of lab, one of scanner
    assert "Fairness across hospitals" not in said
    assert [row for row in page.dataframe[1].value["Column"]] == ["lab", "lab"]
    labels = [button.label for button in page.get("download_button")]
    assert labels[-3:] == ["Download as HTML", "Download as JSON", "Download as CSV"]


def test_whoever_sees_drift_is_told_what_to_do_in_order() -> None:
    said = sentences(show(StoredRuns(calendars=(drifted(),)), "drift"))
    steps = ["Ask each hospital", "other patients come now", "Evaluate the model", "Decide, and"]
    places = [said.index(step) for step in steps]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("calendar", "steps"),
    [
        (begun(), ("wait_for_release",)),
        (drifted(), ("look_at_records", "ask_hospitals", "check_model", "decide")),
        (replace(drifted(), series=drifted().series[:1]), ("go_on",)),
        (replace(drifted(), series=drifted().series[:1], planned=1), ("plan_next",)),
    ],
)
def test_what_to_do_follows_from_the_calendar(
    calendar: DriftCalendar, steps: tuple[str, ...]
) -> None:
    assert steps_of(calendar) == steps


def test_records_that_were_changed_put_a_watermark_on_the_drift_too() -> None:
    faults = ("audit entry 3 was changed: its hash does not match",)
    page = show(StoredRuns(calendars=(drifted(),), faults=faults), "drift")
    assert page.error[0].value.startswith("**NOT VERIFIED")


def test_several_monitoring_studies_are_listed_and_each_can_be_looked_at() -> None:
    other = replace(begun(), study_digest="e" * 64, study_title="Another")
    page = show(StoredRuns(calendars=(other, drifted())), "drift")
    assert list(page.dataframe[0].value["Study"]) == ["Another", "Drift of a small study"]
    said = sentences(page)
    assert "Nothing was compared yet." in said
    assert "Run the next release of the calendar" in said
    page.selectbox[0].set_value("Drift of a small study · dddddddd")
    assert "the newest shows drift of lab." in sentences(again(page))
