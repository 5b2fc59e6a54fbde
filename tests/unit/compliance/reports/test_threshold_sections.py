"""Thresholds are drawn, told in words and kept as numbers, alike in page, report and JSON."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from compliance.charts.binned_scores.thresholds import net_benefit_by_threshold, shares_by_threshold
from compliance.charts.theme import to_svg
from compliance.estimates.binned_scores.operating_points import operating_points
from compliance.estimates.withholding import TOO_FEW
from compliance.facts.dossier import Dossier, run_json
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_csv, render_html, render_json
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated import dossiers
from tests.support.simulated.reports import privacy_report

HEALTHY = [40.0, 30.0, 20.0, 10.0]
ILL = [10.0, 20.0, 30.0, 40.0]


def run(scale: float = 1.0, noise: float = 2.0) -> Dossier:
    counts = np.array([HEALTHY, ILL]) * scale
    points = operating_points(counts, noise, (100.0 * scale, 100.0 * scale), ScoreGrid())
    return replace(dossiers.finished(), operating_points=points)


def test_page_report_csv_and_json_have_the_same_figures() -> None:
    dossier = run()
    middle = dossier.operating_points[1]
    assert middle.risk == pytest.approx(0.5) and middle.sensitivity.value == pytest.approx(0.7)
    for document in (privacy_report(dossier), run_page(dossier, [])):
        page = render_html(document)
        assert "above the threshold is called ill" in page and "Vickers and Elkin" in page
        kept = json.loads(render_json(document))
        (section,) = [one for one in kept["sections"] if one["key"] == "thresholds"]
        assert "0.700" in json.dumps(section)
    rows = list(csv.reader(io.StringIO(render_csv(privacy_report(dossier)))))
    assert any("Sensitivity" in row for row in rows)
    (_, shown, _) = run_json(dossier)["operating_points_released"]
    assert shown["sensitivity"]["value"] == middle.sensitivity.value


def test_where_noise_drowns_the_patients_a_sentence_stands_for_the_drawing() -> None:
    page = render_html(privacy_report(run(scale=0.2, noise=30.0)))
    assert f"Nothing is known of any threshold: {TOO_FEW}." in page
    assert "is called ill" not in page


def test_a_run_without_thresholds_has_no_such_section() -> None:
    assert "is called ill" not in render_html(privacy_report(dossiers.finished()))


def test_drawings_are_the_same_bytes_every_time_and_say_their_figures() -> None:
    points = run().operating_points
    for draw in (shares_by_threshold, net_benefit_by_threshold):
        drawn = to_svg(draw(points))
        assert drawn == to_svg(draw(points))
        assert "risk 0.500" in drawn.split(">", 1)[0]
        draw(points).to_dict()  # valid Vega-Lite


def test_shares_at_one_threshold_hide_each_other_no_more_than_their_marks_are_wide() -> None:
    chart = shares_by_threshold(run().operating_points).to_dict()
    marks = [one["mark"] for one in chart["layer"] if one["mark"]["type"] == "point"]
    assert sorted(mark["xOffset"] for mark in marks) == [-8, 0, 8]


def test_the_legend_of_net_benefit_tells_its_dashed_line_from_its_dotted_one() -> None:
    svg = to_svg(net_benefit_by_threshold(run().operating_points))
    legend = svg[svg.index("role-legend") :]
    for name in ("the model", "calling everybody ill", "calling nobody ill"):
        assert f">{name}<" in legend
    assert 'stroke-dasharray="6,3"' in legend and 'stroke-dasharray="2,2"' in legend


def test_nothing_to_draw_is_refused() -> None:
    points = run(scale=0.2, noise=30.0).operating_points
    for draw in (shares_by_threshold, net_benefit_by_threshold):
        with pytest.raises(ValueError, match="at any threshold"):
            draw(points)
