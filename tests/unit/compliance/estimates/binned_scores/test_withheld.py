"""Figures that cannot be misread: withheld ones appear nowhere, test noise is no epsilon."""

import json
from dataclasses import replace

import pytest

from collegium.output import run_list
from compliance.charts import run as charts
from compliance.charts.descriptions import describe_utility
from compliance.estimates.interval import Interval
from compliance.estimates.proportion import proportion
from compliance.estimates.withholding import TOO_FEW
from compliance.facts.comparison.modes import comparison_json
from compliance.facts.dossier import Dossier, run_json
from compliance.facts.figures import ACCURACY, AUROC
from compliance.facts.formatting import show
from compliance.facts.privacy_utility import PER_SITE, RELEASED, UtilityPoint, Withheld
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_csv, render_html, render_json
from compliance.reports.sections.utility import utility_table
from coordinator.rounds.evaluation.released import released_from
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.several_runs.privacy_utility import points_of
from dashboard.rows import runs, words
from tests.support.simulated import dossiers
from tests.support.simulated.reports import privacy_report

#: Figures that appear nowhere else in the sample, in full and as they are rounded.
_FIGURES = ("0.613", "0.9871", "0.987", "0.1372", "0.137")


def _withheld() -> Interval:
    return Interval(value=0.6131, low=0.1372, high=0.9871, note=TOO_FEW)


def _dossier() -> Dossier:
    whole = dossiers.finished()
    hidden = _withheld()
    sites = tuple(replace(s, released=dict.fromkeys(s.released, hidden)) for s in whole.sites)
    return replace(whole, sites=sites, released=dict.fromkeys(whole.released, hidden))


def _summary() -> RunSummary:
    return RunSummary(
        run_id="r", study_name="s", question="q", state="finished",
        started_at="2026-11-26T10:15:00Z", seed=1, simulation=False, test_noise=False,
        mode="per_site", epsilon=1.0, figure=AUROC, exact=None, released=_withheld(),
        sweep=None,
    )  # fmt: skip


def test_no_output_of_a_run_holds_a_withheld_figure() -> None:
    dossier = _dossier()
    report, page = privacy_report(dossier), run_page(dossier, points_of(_summary()))
    outputs = {
        "report, HTML": render_html(report),
        "report, JSON": render_json(report),
        "report, CSV": render_csv(report),
        "page": render_html(page),
        "command, JSON": json.dumps(run_json(dossier)),
        "drawing": charts.to_svg(charts.site_metrics(dossier.sites, ACCURACY)),
        "dashboard": words.figure(dossier.headline) + words.interval_note(dossier.headline),
        "list": run_list._figure(_summary()),
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
    assert points_of(_summary()) == []


def test_what_noise_drowns_is_withheld_where_it_is_computed_and_where_it_is_read() -> None:
    wide = proportion(20.0, 14.0, 6.0)
    assert wide.note == TOO_FEW and wide.value is wide.low is wide.high is None
    kept = {"value": 1.0, "low": 0.3, "high": 1.0, "note": TOO_FEW}
    names = ("ill", "mean_risk", "lacking", "sensitivity", "excess_brier")
    risks = {"shift": None, **dict.fromkeys(names, kept)}
    read = released_from({"figures": {"auroc": kept}, "risks": risks, "sites": {}}).figures["auroc"]
    assert read.value is None and show(read) == TOO_FEW


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
    assert "test noise" in runs.run_label(run)
    assert "ε" not in runs.run_label(run)


def _runs(
    *figures: float | None, epsilon: float = 1.0
) -> tuple[list[UtilityPoint], list[Withheld]]:
    """Runs of one epsilon by seed; None is one that released nothing."""
    points = [
        UtilityPoint(epsilon=epsilon, mode=PER_SITE, seed=seed, value=value, kind=RELEASED,
                     low=value - 0.1, high=value + 0.1)
        for seed, value in enumerate(figures) if value is not None
    ]  # fmt: skip
    return points, [
        Withheld(epsilon=epsilon, mode=PER_SITE, seed=seed, why=TOO_FEW)
        for seed, value in enumerate(figures)
        if value is None
    ]


def test_a_mean_says_how_many_runs_are_missing_in_it() -> None:
    points, withheld = _runs(0.8, 0.84, None, 0.82, 0.86)
    low, none = _runs(0.55, epsilon=0.5), _runs(None, None, epsilon=0.1)
    points, withheld = [*points, *low[0]], [*withheld, *none[1]]
    said = describe_utility(points, withheld)
    assert f"mean 0.830 of 4 of 5 runs; 1 withheld: {TOO_FEW}" in said
    assert f"ε = 0.1, released: all 2 runs withheld: {TOO_FEW}" in said
    table = utility_table(points, withheld)
    titles = [column.title for column in table.columns]
    rows = [dict(zip(titles, row, strict=True)) for row in table.rows]
    assert [(row["ε"], row["Runs"], row["Withheld"], row["Why withheld"]) for row in rows] == [
        (0.5, 1, 0, ""), (1.0, 4, 1, TOO_FEW), (0.1, 0, 2, TOO_FEW),
    ]  # fmt: skip
    assert rows[2]["AUROC, mean"] is None
    released = comparison_json(points, withheld)["released"]
    assert [(r["epsilon"], r["runs"], r["withheld"]) for r in released] == [
        (0.5, 1, 0), (1.0, 4, 1), (0.1, 0, 2),
    ]  # fmt: skip
    assert said in charts.to_svg(charts.utility_against_epsilon(points, withheld)).replace(
        "&quot;", '"'
    )


def test_means_that_noise_could_have_drawn_are_not_told_either() -> None:
    points, withheld = _runs(0.8, None, 0.84)
    said = describe_utility([*points, *_runs(0.79, epsilon=0.5)[0]], withheld)
    assert "mean" not in said
    assert "0.800 (0.700 to 0.900), 0.840 (0.740 to 0.940); 1 withheld" in said
    table = utility_table([*points, *_runs(0.79, epsilon=0.5)[0]], withheld)
    place = [column.title for column in table.columns].index("AUROC, mean")
    assert [row[place] for row in table.rows] == [None, None]


def test_page_of_runs_of_which_none_released_a_figure_says_so() -> None:
    run = dossiers.finished()
    text = render_html(run_page(run, (), _runs(None, None)[1]))
    assert "No finished run of this study has a figure to show yet." in text and TOO_FEW in text
