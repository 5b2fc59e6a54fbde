"""The heat map of a cross-site matrix, and groups of intervals."""

import pytest

from compliance.charts.cross_site import cross_site_matrix, describe_matrix
from compliance.charts.intervals import describe_groups, grouped_intervals
from compliance.charts.theme import BLUE, GREEN, to_svg
from compliance.estimates.interval import Interval
from compliance.facts.figures import AUROC, MAE

KNOWN = Interval(value=0.8, low=0.7, high=0.9)
WORSE = Interval(value=0.6, low=0.5, high=0.7)
NONE = Interval(value=None, low=None, high=None, note="not available: one class only")
ROWS = [("a alone", [("a", KNOWN), ("b", NONE)]), ("federated", [("a", WORSE), ("b", NONE)])]


def colours(chart):
    scale = chart.to_dict()["layer"][1]["encoding"]["color"]["scale"]
    return scale["range"], scale["domain"]


def test_a_matrix_shows_each_figure_with_its_interval_and_what_is_not_available():
    drawn = to_svg(cross_site_matrix(ROWS, AUROC, framed=[("a alone", "a")]))
    for text in ("0.800", "0.700 to 0.900", "not available", "a alone", "federated"):
        assert f">{text}<" in drawn
    assert drawn == to_svg(cross_site_matrix(ROWS, AUROC, framed=[("a alone", "a")]))
    said = describe_matrix(ROWS, AUROC)
    assert "a alone: a 0.800 (0.700 to 0.900), b not available: one class only" in said


def test_darker_is_better_of_an_error_too():
    assert (
        colours(cross_site_matrix(ROWS, AUROC))[0] == colours(cross_site_matrix(ROWS, MAE))[0][::-1]
    )


def test_two_matrices_can_have_one_scale_of_colours():
    assert colours(cross_site_matrix(ROWS, AUROC, among=[0.2]))[1][0] < 0.2


def test_many_hospitals_have_no_numbers_in_their_cells():
    wide = [("federated", [(f"site-{n}", KNOWN) for n in range(30)])]
    drawn = to_svg(cross_site_matrix(wide, AUROC))
    assert ">0.800<" not in drawn and "site-29" in drawn


def test_a_matrix_without_rows_and_no_groups_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        cross_site_matrix([], AUROC)
    with pytest.raises(ValueError, match="need at least one"):
        grouped_intervals([], "lead", AUROC, {})


def test_groups_say_every_figure_and_which_have_too_few_patients_for_an_interval():
    few = Interval(value=0.1, low=None, high=None)
    groups = [("a", [("one", KNOWN), ("two", few)]), ("b", [("one", NONE)])]
    chart = grouped_intervals(groups, "lead", AUROC, {"one": BLUE, "two": GREEN}, zero=True)
    drawn = to_svg(chart)
    for text in ("0.800 (0.700 to 0.900)", "0.100, too few for an interval", NONE.note):
        assert text in drawn
        assert text in describe_groups(groups, "lead", AUROC)
    chart.to_dict()  # valid Vega-Lite
