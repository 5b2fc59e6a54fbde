"""The report and the page of a statistics run say what was counted, and claim no model."""

from dataclasses import replace

from compliance.facts.dossier import run_json
from compliance.reports.document import Figure, tables
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_html, render_json
from compliance.reports.sections.columns import columns_section, columns_table
from tests.support.simulated import dossiers
from tests.support.simulated.reports import privacy_report


def test_the_table_has_a_line_for_each_column_with_exact_figures_beside() -> None:
    table = columns_table(dossiers.statistics())
    titles = [column.title for column in table.columns]
    age = dict(zip(titles, table.rows[0], strict=True))
    assert age["Column"] == "age"
    assert age["Mean, exact (simulation only)"] == 53.5
    assert "cover both the noise and the sampling of the patients" in table.note


def test_a_consortiums_own_run_has_no_exact_figures() -> None:
    real = replace(dossiers.statistics(), simulation=False, exact={}, exact_columns=())
    titles = [column.title for column in columns_table(real).columns]
    assert titles == ["Column", "Patients with a value", "Missing", "Mean", "Standard deviation"]
    assert "simulation only" not in render_html(run_page(real, ()))


def test_categories_and_histograms_are_drawn_and_said_in_words() -> None:
    blocks = columns_section(dossiers.statistics()).blocks
    (drawn,) = [block for block in blocks if isinstance(block, Figure)]
    assert drawn.title == "Shares of sex"
    assert "1: 0.700 (0.640 to 0.760), exact 0.720 (simulation only)" in drawn.alt
    assert drawn.alt.split(".")[0] in drawn.svg


def test_report_and_page_say_how_patients_were_counted_and_nothing_of_training() -> None:
    report = privacy_report(dossiers.statistics())
    text = render_html(report) + render_html(run_page(dossiers.statistics(), ()))
    assert "Every patient is counted once" in text
    assert "both budgets for life are charged the same" in text
    for absent in ("DP-SGD", "Fairness", "training rounds", "Clip", "AUROC"):
        assert absent not in text
    assert "Columns" in [section.title for section, _ in tables(report)]
    assert render_json(report) == render_json(privacy_report(dossiers.statistics()))


def test_json_holds_each_columns_released_and_exact_figures() -> None:
    found = run_json(dossiers.statistics())
    assert found["patients_released"]["value"] == 920
    age, sex = found["columns"]
    assert age["released"]["mean"]["low"] < age["exact"]["mean"] < age["released"]["mean"]["high"]
    assert age["released"]["missing"]["note"] == "counted as fewer than ten patients"
    assert sex["exact"]["parts"] == [0.28, 0.72]
    assert "columns" not in run_json(dossiers.finished())
