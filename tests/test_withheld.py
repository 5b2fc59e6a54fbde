"""Figures that cannot be misread: withheld ones appear nowhere, test noise is no epsilon."""

import json
from dataclasses import replace

import pytest

from collegium import run_list
from compliance import charts
from compliance.documents import show
from compliance.dossier import Dossier, Interval, run_json
from compliance.reports import privacy_report, render_csv, render_html, render_json, run_page
from coordinator.evaluation import TOO_FEW, proportion, released_from
from coordinator.views import RunSummary, _points
from dashboard import presentation
from tests import dossiers

#: Figures that appear nowhere else in the sample, in full and as they are rounded.
_FIGURES = ("0.613", "0.9871", "0.987", "0.1372", "0.137")


def _withheld() -> Interval:
    return Interval(value=0.6131, low=0.1372, high=0.9871, note=TOO_FEW)


def _dossier() -> Dossier:
    whole = dossiers.finished()
    hidden = _withheld()
    sites = tuple(
        replace(s, released_accuracy=hidden, released_sensitivity=hidden,
                released_specificity=hidden) for s in whole.sites
    )  # fmt: skip
    return replace(whole, sites=sites, auroc_released=hidden, accuracy_released=hidden)


def _summary() -> RunSummary:
    return RunSummary(
        run_id="r", study_name="s", question="q", state="finished",
        started_at="2026-11-26T10:15:00Z", seed=1, simulation=False, test_noise=False,
        mode="local", epsilon=1.0, exact_auroc=None, auroc_released=_withheld(), sweep=None,
    )  # fmt: skip


def test_no_output_of_a_run_holds_a_withheld_figure() -> None:
    dossier = _dossier()
    report, page = privacy_report(dossier), run_page(dossier, _points(_summary()))
    outputs = {
        "report, HTML": render_html(report),
        "report, JSON": render_json(report),
        "report, CSV": render_csv(report),
        "page": render_html(page),
        "command, JSON": json.dumps(run_json(dossier)),
        "drawing": charts.to_svg(charts.site_metrics(dossier.sites)),
        "dashboard": presentation.figure(dossier.auroc_released)
        + presentation.interval_note(dossier.auroc_released),
        "list": run_list._auroc(_summary()),
    }
    for name, text in outputs.items():
        assert not [figure for figure in _FIGURES if figure in text], name
        assert "too few patients" in text, name


def test_a_withheld_figure_is_null_with_its_reason_in_json() -> None:
    empty = {"value": None, "low": None, "high": None, "note": TOO_FEW}
    found = run_json(_dossier())
    assert found["auroc_released"] == found["accuracy_released"] == empty
    assert found["sites"]["east"]["sensitivity_released"] == empty


def test_a_withheld_figure_gives_no_point_to_draw_or_average() -> None:
    assert _points(_summary()) == []


def test_what_noise_drowns_is_withheld_where_it_is_computed_and_where_it_is_read() -> None:
    wide = proportion(20.0, 14.0, 6.0)
    assert wide.note == TOO_FEW and wide.value is wide.low is wide.high is None
    kept = {"value": 1.0, "low": 0.3, "high": 1.0, "note": TOO_FEW}
    read = released_from({"auroc": kept, "accuracy": kept, "sites": {}})
    assert read.auroc.value is None and show(read.auroc) == TOO_FEW


def test_a_figure_without_a_note_is_kept_whole() -> None:
    clear = Interval(value=0.8, low=0.7, high=0.9)
    assert (clear.value, clear.low, clear.high) == (0.8, 0.7, 0.9)


@pytest.mark.parametrize("epsilon", [None, 1.0])
def test_test_noise_stands_where_an_epsilon_would(epsilon: float | None) -> None:
    whole = dossiers.finished()
    sites = tuple(replace(s, privacy=dossiers.site_privacy(s.site, epsilon)) for s in whole.sites)
    noisy = replace(whole, test_noise=True, sites=sites)
    report = json.loads(render_json(privacy_report(noisy)))
    page = json.loads(render_json(run_page(noisy, ())))
    tables = [block for section in report["sections"] for block in section["blocks"]]
    privacy = next(b for b in tables if b.get("title", "").startswith("Privacy of this run"))
    assert all(row[3:5] == ["test noise", "test noise"] for row in privacy["rows"])
    claim = next(i for i in page["sections"][0]["blocks"][0]["items"] if i["label"].startswith("ε"))
    assert claim["value"] == "none" and claim["note"].startswith("test noise")


def test_the_dashboard_lists_test_noise_and_no_epsilon() -> None:
    run = replace(_summary(), test_noise=True)
    assert "test noise" in presentation.run_label(run)
    assert "ε" not in presentation.run_label(run)
