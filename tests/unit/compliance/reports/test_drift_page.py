"""The page and the charts of a monitoring calendar say what has drifted, and what is not known."""

import csv
import io
import json
from dataclasses import replace

import altair as alt
import numpy as np
import pytest

from compliance.charts.counted.drift import STATISTICS, describe_drift, drift_chart
from compliance.charts.theme import to_svg
from compliance.estimates.drift.histograms import CountedRelease
from compliance.facts.dossier import run_json
from compliance.facts.drift_calendar import DriftCalendar, UncountedRun
from compliance.reports.document import Figure, tables
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_html, render_json, wide_csv
from compliance.reports.several_runs.drift_page import drift_page, releases_table, series_table
from tests.support.simulated import dossiers
from tests.support.simulated.drifts import LAB_IN_ANOTHER_UNIT, calendar_with, release
from tests.support.simulated.reports import privacy_report


def drifted() -> DriftCalendar:
    random = np.random.default_rng(21)
    return calendar_with(
        release(0, random),
        release(1, random),
        release(2, random, lab=LAB_IN_ANOTHER_UNIT),
        release(3, random, sites=("east", "north")),
    )


def test_the_state_is_one_sentence_that_names_the_newest_drift() -> None:
    random = np.random.default_rng(21)
    reference, first = release(0, random), release(1, random)
    second = release(2, random, lab=LAB_IN_ANOTHER_UNIT)
    assert calendar_with().sentence == "The reference has not been counted yet."
    assert calendar_with(reference).sentence.endswith("nothing is compared yet.")
    assert calendar_with(reference, first).sentence.endswith("no more than chance and noise.")
    assert calendar_with(reference, first, second).sentence == (
        "2 of 3 releases after the reference: the newest shows drift of lab."
    )
    assert drifted().sentence.endswith(
        "the newest was not tested: without south, unlike the reference."
    )


def test_what_was_not_tested_is_never_said_to_show_no_drift() -> None:
    random = np.random.default_rng(21)
    few = [release(number, random, patients=60, deviation=30.0) for number in (0, 1)]
    lost = calendar_with(*few)
    assert lost.sentence == (
        "1 of 3 releases after the reference: the newest was not tested: too few patients for this "
        "noise."
    )
    assert releases_table(lost).rows[0][5] == "not tested: too few patients for this noise"
    (_, said) = drift_page(lost).banner
    assert said.text == "Nothing was tested, so no drift could be flagged."


def test_columns_that_were_not_tested_are_named_beside_those_that_show_nothing() -> None:
    random = np.random.default_rng(21)
    before, after = (without_labels(release(number, random)) for number in (0, 1))
    found = calendar_with(before, after)
    assert found.sentence.endswith(
        "the newest shows no more than chance and noise (not tested: label)."
    )
    assert releases_table(found).rows[0][5] == "none (not tested: label)"
    (_, said) = drift_page(found).banner
    assert said.text == "No drift was flagged."
    assert said.detail.endswith("Not tested: release 1, label.")


def without_labels(counted: CountedRelease) -> CountedRelease:
    """The release as it is while nobody's label is known yet."""
    histograms = tuple(
        replace(one, missing=one.patients) if one.name == "label" else one
        for one in counted.histograms
    )
    return replace(counted, histograms=histograms)


def test_a_line_for_each_release_says_what_was_found() -> None:
    table = releases_table(drifted())
    found = [dict(zip((c.title for c in table.columns), row, strict=True)) for row in table.rows]
    assert [row["Drift"] for row in found] == [
        "none", "drift of lab", "not tested: without south, unlike the reference",
    ]  # fmt: skip
    assert str(found[1]["Least likely by chance"]).startswith("lab")
    assert found[2]["Least likely by chance"] is None


def test_the_page_shows_every_column_price_and_budget_and_claims_no_cause() -> None:
    document = drift_page(drifted())
    html = render_html(document)
    for said in (
        "Drift of lab.", "does not say why", "A simulation", "for the reference and all planned",
        "at most 5.0 %", "Left of its budget for life", "thresholds drawn with seed 7",
    ):  # fmt: skip
        assert said in html, said
    (columns,) = [section for section in document.sections if section.key == "columns"]
    titles = [block.title for block in columns.blocks if isinstance(block, Figure)]
    assert titles == [
        "lab: population stability index", "lab: Kolmogorov-Smirnov distance",
        "scanner: population stability index", "label: population stability index",
        "score: population stability index", "score: Kolmogorov-Smirnov distance",
    ]  # fmt: skip
    assert render_json(document) == render_json(drift_page(drifted()))


def test_no_single_hospital_stands_on_the_page_but_with_what_its_budget_has_left() -> None:
    document = drift_page(drifted())
    without = [section for section in document.sections if section.key != "price"]
    assert "north" in render_json(document)
    assert "north" not in render_json(replace(document, sections=tuple(without)))


def test_before_the_first_comparison_nothing_is_drawn() -> None:
    html = render_html(drift_page(calendar_with(release(0, np.random.default_rng(1)))))
    assert "Nothing was compared yet." in html
    assert "No drift was flagged" not in html


def test_the_page_says_what_of_the_calendar_is_left_and_which_runs_released_nothing() -> None:
    random = np.random.default_rng(21)
    begun = calendar_with(release(0, random), release(1, random))
    refused = UncountedRun(
        run_id="run-x", started_at="2027-03-01T08:00:00.000Z", state="failed",
        why="BudgetSpent: site east: the training patients' budget has 0.2 left",
    )  # fmt: skip
    html = render_html(drift_page(replace(begun, uncounted=(refused,))))
    assert "Left: 2 releases, paid for when the reference was counted." in html
    assert "Runs that released nothing" in html and "the training patients&#39; budget" in html
    assert "another one is another plan" in render_html(drift_page(drifted()))
    assert begun.to_json()["left_releases"] == 2


def test_the_csv_has_a_line_for_every_distance() -> None:
    calendar = drifted()
    lines = list(csv.DictReader(io.StringIO(wide_csv(series_table(calendar)))))
    assert len(lines) == sum(len(release.tests) for release in calendar.series)
    lab = [line for line in lines if (line["Column"], line["Run"]) == ("lab", "run-2")]
    assert [line["Distance"] for line in lab] == [*STATISTICS.values()]
    assert {line["Said"] for line in lab} == {"drift"}
    assert lines[-1]["Said"] == "without south" and lines[-1]["Threshold"] == "—"


def test_the_report_of_a_run_has_the_same_charts_and_no_empty_column() -> None:
    calendar = drifted()
    numbers = replace(dossiers.statistics().columns[0], mean=None, deviation=None)
    run = replace(
        dossiers.statistics(), run_id="run-2", task="monitoring", drift=calendar,
        columns=(numbers,), exact_columns=({"missing": 0.1, "parts": []},),
        study={"sites": [], "task": {"releases": 3}},
    )  # fmt: skip
    (columns,) = [s for s in drift_page(calendar).sections if s.key == "columns"]
    for document in (run_page(run, ()), privacy_report(run)):
        (section,) = [s for s in document.sections if s.key == "drift"]
        assert [b for b in section.blocks if isinstance(b, Figure)] == [
            b for b in columns.blocks if isinstance(b, Figure)
        ]
        assert "drift of lab" in render_json(document)
        for _, table in tables(document):
            if table.title in ("Columns", "Figures at each hospital"):
                for place, column in enumerate(table.columns):
                    assert {row[place] for row in table.rows} - {None, 0}, column
    page = render_html(run_page(run, ()))
    assert "of 3 after the reference" in page
    assert "Utility against privacy below" not in page
    assert run_json(run)["drift"]["sentence"] == calendar.sentence


def test_the_chart_is_valid_and_says_in_words_what_it_draws() -> None:
    chart = drift_chart(drifted(), "lab")
    chart.to_dict(validate=True)
    words = describe_drift(drifted(), "lab")
    assert "release 2: " in words
    assert "drift" in words
    assert "release 3" in words
    assert "not tested, without south" in words
    assert to_svg(chart).startswith("<svg")
    points = [layer.data.values for layer in chart.layer if isinstance(layer, alt.Chart)]
    (drawn,) = [rows for rows in points if rows and "what" in rows[0]]
    assert [row["what"] for row in drawn] == ["within the band", "drift", "not tested"]


def test_a_column_that_was_not_compared_has_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="nothing"):
        drift_chart(drifted(), "heigth")


def test_json_is_plain_and_whole() -> None:
    found = json.loads(json.dumps(drifted().to_json(), allow_nan=False))
    assert (found["planned_releases"], found["made_releases"], found["seed"]) == (3, 3, 7)
    assert found["single_test_level"] == pytest.approx(0.05 / (3 * 6))
    assert {flag["column"] for flag in found["flagged"]} == {"lab"}
    assert found["releases"][2]["tests"][0]["note"] == "without south"
