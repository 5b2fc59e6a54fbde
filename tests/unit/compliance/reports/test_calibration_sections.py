"""Calibration is drawn, told in words and kept as numbers, alike in page, report and JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest

from compliance.charts.binned_scores.calibration import calibration, describe_calibration
from compliance.charts.theme import to_svg
from compliance.estimates.binned_scores.calibration import (
    calibration_curve,
    released_calibration_error,
)
from compliance.estimates.binned_scores.release_rule import usual_scores
from compliance.estimates.binned_scores.within_bins import BinnedScores
from compliance.estimates.withholding import TOO_FEW
from compliance.facts.dossier import Dossier, run_json
from compliance.facts.figures import RISKS
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_html, render_json
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated import dossiers
from tests.support.simulated.reports import privacy_report

COUNTS = np.array([[40.0, 30.0, 20.0, 10.0], [10.0, 20.0, 30.0, 40.0]]) * 4


def run(noise: float = 2.0, ill: float = 400.0) -> Dossier:
    scores = BinnedScores.of(COUNTS, noise, ScoreGrid())
    usual = usual_scores((400.0, ill), 4, noise)
    released = {"ece": released_calibration_error(scores, usual)}
    return replace(
        dossiers.finished(), calibration=calibration_curve(scores, usual), released=released
    )


def test_page_report_and_json_have_the_same_points() -> None:
    dossier = run()
    ill = dossier.calibration[0].ill.value
    assert ill == pytest.approx(0.2)
    for document in (privacy_report(dossier), run_page(dossier, [])):
        page = render_html(document)
        assert "On the dashed line a model" in page
        assert "Expected calibration error (ECE)" in page
        kept = json.loads(render_json(document))
        (section,) = [one for one in kept["sections"] if one["key"] == "calibration"]
        assert "0.2" in json.dumps(section)
    found = run_json(dossier)
    assert found["calibration_released"][0]["ill"]["value"] == ill
    assert found["ece_released"]["value"] == dossier.released["ece"].value


def test_where_noise_drowns_the_patients_a_sentence_stands_for_the_drawing() -> None:
    dossier = run(noise=400.0)
    page = render_html(privacy_report(dossier))
    assert f"Nothing is known of the calibration: {TOO_FEW}." in page
    assert "On the dashed line" not in page
    with pytest.raises(ValueError, match="no group"):
        calibration(dossier.calibration, RISKS)


def test_a_run_of_another_task_has_no_such_section() -> None:
    assert "Nothing is known of the calibration" not in render_html(
        privacy_report(dossiers.finished())
    )


def test_the_drawing_is_the_same_bytes_every_time_and_says_its_figures() -> None:
    points = run().calibration
    drawn = to_svg(calibration(points, RISKS))
    assert drawn == to_svg(calibration(points, RISKS))
    assert "share of the ill 0.200" in describe_calibration(points, RISKS)
    calibration(points, RISKS).to_dict()  # valid Vega-Lite
