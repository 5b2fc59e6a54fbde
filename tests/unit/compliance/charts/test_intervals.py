"""Figures with intervals are drawn one below the other, and said in words."""

import re

import pytest

from compliance.charts.intervals import interval_rows
from compliance.charts.theme import to_svg
from compliance.estimates.interval import Interval
from compliance.facts.figures import AUROC


def test_every_row_is_drawn_and_a_figure_that_is_not_known_says_why() -> None:
    rows = [
        ("federated model", Interval(value=0.8, low=0.7, high=0.9)),
        ("our own model", Interval(value=None, low=None, high=None, note="too few patients")),
    ]
    drawn = to_svg(interval_rows(rows, AUROC))
    assert drawn == to_svg(interval_rows(rows, AUROC))
    assert "federated model: 0.800 (0.700 to 0.900)" in drawn
    assert "our own model" in drawn and "too few patients" in drawn
    interval_rows(rows, AUROC).to_dict()  # valid Vega-Lite


def test_a_long_name_is_not_cut_where_a_browser_has_a_wider_font() -> None:
    rows = [("mrmtl:pull=0.3:last_pull=0.5", Interval(value=0.8, low=0.7, high=0.9))]
    frame = re.search(r'<g [^>]*transform="translate\((\d+)', to_svg(interval_rows(rows, AUROC)))
    assert frame is not None and int(frame[1]) >= 28 * 7.6  # 13 pixels high, in DejaVu Sans


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        interval_rows([], AUROC)
