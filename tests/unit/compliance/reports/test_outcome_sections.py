"""Figures of each class, finding or time: drawn, told and kept alike in page, report and JSON."""

import json
from dataclasses import replace

import pytest

from compliance.estimates.interval import Interval
from compliance.estimates.outcomes.outcome_figures import OutcomeFigures
from compliance.estimates.withholding import TOO_FEW
from compliance.facts.dossier import Dossier, run_json
from compliance.reports.one_run.performance_table import performance_table
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import RENDERERS, render_html, render_json
from tests.support.simulated import dossiers
from tests.support.simulated.reports import privacy_report

KNOWN = Interval(value=0.712, low=0.61, high=0.8)
HIDDEN = Interval(value=None, low=None, high=None, note=TOO_FEW)


def run(f1: Interval = KNOWN, declared: float | None = None) -> Dossier:
    outcomes = (
        OutcomeFigures(outcome="mild", figures={"f1": f1, "sensitivity": KNOWN}, declared=declared),
        OutcomeFigures(outcome="severe", figures={"f1": HIDDEN, "sensitivity": HIDDEN}),
    )
    return replace(dossiers.finished(), task="multiclass_classification", outcomes=outcomes)


def test_page_report_and_json_have_the_same_figures() -> None:
    dossier = run()
    for document in (privacy_report(dossier), run_page(dossier, [])):
        page = render_html(document)
        assert "Figures of each class" in page and "mild: 0.712" in page
        kept = json.loads(render_json(document))
        (section,) = [one for one in kept["sections"] if one["key"] == "outcomes"]
        assert TOO_FEW in json.dumps(section)
    told = run_json(dossier)
    assert [one["outcome"] for one in told["outcomes_released"]] == ["mild", "severe"]
    named = [one for one in told["figures_released"] if one["of"] == "outcome"]
    assert named[0] == {
        "figure": "f1", "of": "outcome", "part": "mild", "at": None, "value": 0.712, "low": 0.61,
        "high": 0.8, "note": "",
    }  # fmt: skip
    assert [one["note"] for one in named[2:]] == [TOO_FEW, TOO_FEW]


def test_the_table_of_performance_has_a_row_for_each() -> None:
    table = performance_table(run())
    titles = [column.title for column in table.columns]
    rows = {row[1]: row for row in table.rows if row[0] == "Outcome"}
    assert rows["mild"][titles.index("F1")] == KNOWN
    assert rows["severe"][titles.index("Sensitivity")] == HIDDEN


def test_what_the_study_declares_stands_beside() -> None:
    assert ">Declared<" not in render_html(privacy_report(run()))
    assert ">Declared<" in render_html(privacy_report(run(declared=0.9)))


@pytest.mark.parametrize("form", RENDERERS)
def test_where_nothing_is_known_the_reasons_stand_in_a_table(form: str) -> None:
    text = RENDERERS[form](privacy_report(run(f1=HIDDEN)))
    assert TOO_FEW in text and "F1 of each class" not in text


def test_a_task_of_one_outcome_has_no_such_section() -> None:
    assert "Figures of each" not in render_html(run_page(dossiers.finished(), []))
    assert run_json(dossiers.finished())["outcomes_released"] == []
