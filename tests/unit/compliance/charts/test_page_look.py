"""Charts as pages draw them: colours that can be read, places that do not grow, lines or none."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from compliance.charts import run as charts
from compliance.charts.counted.drift import drift_chart, top_of
from compliance.charts.descriptions import describe_utility, interval_text, line_text, studies_text
from compliance.charts.intervals import interval_rows
from compliance.charts.privacy_utility import MAX_SINGLE, _dodged
from compliance.charts.theme import Chart, Scheme, page_document, to_png, to_svg
from compliance.estimates.interval import Interval
from compliance.facts.comparison.modes import comparison_json, differences
from compliance.facts.dossier import CourseFacts, EvaluationFacts
from compliance.facts.figures import ACCURACY, AUROC
from compliance.facts.privacy_utility import (
    DISTRIBUTED,
    EXACT,
    PER_SITE,
    RELEASED,
    UtilityPoint,
    utility_levels,
)
from compliance.reports.sections.utility import utility_table
from compliance.reports.several_runs import baseline_parts
from tests.support.simulated import dossiers
from tests.support.simulated.baselines import few_findings
from tests.support.simulated.drifts import calendar_with, release


def run_at(epsilon: float, seed: int, value: float, half: float = 0.05) -> UtilityPoint:
    return UtilityPoint(epsilon=epsilon, seed=seed, value=value, kind=RELEASED, mode=PER_SITE,
                        low=value - half, high=value + half)  # fmt: skip


def seeds(count: int) -> list[UtilityPoint]:
    return [
        run_at(epsilon, seed, 0.7 + 0.02 * (seed % 5)) for epsilon in (0.5, 1.0, 2.0, 8.0)
        for seed in range(count)
    ]  # fmt: skip


def course(*values: float, half: float = 0.03) -> CourseFacts:
    figures = [
        EvaluationFacts(rounds=number, model_digest="a" * 64, survivors=("east",), goes_on=number,
                        released=Interval(value=value, low=value - half, high=value + half))
        for number, value in enumerate(values, start=1)
    ]  # fmt: skip
    return CourseFacts(figure=AUROC, planned=len(values), rounds=len(values), roll_back=None,
                       is_priced=True, evaluations=tuple(figures))  # fmt: skip


def two_studies(*epsilons: float) -> list[UtilityPoint]:
    return [
        replace(run_at(epsilon, 1, value, half=0.01), study=study)
        for study, value in (("falls (0a1b2c3d)", 0.6), ("falls (99999999)", 0.9))
        for epsilon in epsilons
    ]


def test_points_of_two_studies_are_told_apart_and_joined_by_no_line() -> None:
    few = [one for one in two_studies(1.0, 4.0) if (one.value < 0.7) == (one.epsilon == 1.0)]
    svg = to_svg(charts.utility_against_epsilon(few))
    assert all(f"falls ({name}), released" in svg for name in ("0a1b2c3d", "99999999"))
    named = charts.utility_against_epsilon(few).to_dict()["layer"][-2]["encoding"]
    assert named["color"]["legend"]["columns"] == named["shape"]["legend"]["columns"] == 1
    assert [level.num_runs for level in utility_levels(few)] == [1, 1]
    assert not re.findall(r'<g class="mark-line [^"]*"[^>]*><path', svg)
    said = describe_utility(few)
    assert "learn otherwise: falls (0a1b2c3d); falls (99999999)" in said
    assert "over seeds only" not in said
    assert utility_table(few).columns[2].title == "Study"
    assert studies_text([run_at(1.0, 1, 0.7)]) == ""


def test_a_mode_of_two_studies_is_compared_with_no_other() -> None:
    shared = replace(run_at(1.0, 1, 0.8), mode=DISTRIBUTED)
    for points in ([*two_studies(1.0), shared], [*two_studies(1.0, 4.0), shared]):
        assert differences(points) == ()
        found = comparison_json(points)["levels"]
        assert {one["study"] for one in found} == {"falls (0a1b2c3d)", "falls (99999999)", None}
        svg = to_svg(charts.utility_against_epsilon(points))
        assert "per-site noise, falls" in svg and "99999999" in svg


def each_chart() -> Iterator[Chart]:
    whole, findings = dossiers.finished(), few_findings()
    yield charts.utility_against_epsilon(dossiers.sweep())
    yield charts.utility_against_epsilon(dossiers.modes(0.3))
    yield charts.utility_against_epsilon(dossiers.modes(0.3, 1.0))
    yield charts.site_metrics(whole.sites, ACCURACY)
    yield charts.privacy_spent(whole.sites)
    yield charts.rounds_timeline(whole.rounds)
    yield charts.figure_by_round(course(0.6, 0.7, 0.8))
    yield drift_chart(_calendar(), "lab")
    yield interval_rows([("men", dossiers.interval(0.7, 0.1)), ("women", dossiers.NOTHING)], AUROC)
    for noised in findings.levels:
        yield baseline_parts.matrix(findings, noised=noised).chart
        yield baseline_parts.side_by_side(findings, noised=noised).chart


def _calendar():  # type: ignore[no-untyped-def]
    import numpy as np

    random = np.random.default_rng(3)
    return calendar_with(release(0, random), release(1, random), release(2, random))


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted([luminance(first), luminance(second)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def text_colours(part: Any) -> Iterator[str]:
    """The colours of all texts of a chart: in marks, axes and legends."""
    if isinstance(part, dict):
        if part.get("type") == "text":
            yield part["color"]
        for key, value in part.items():
            if key in ("labelColor", "titleColor"):
                yield value
            yield from text_colours(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from text_colours(value)


def mark_colours(part: Any) -> Iterator[str]:
    """The colours by which marks are told apart: ranges of scales, but for fills of areas."""
    if isinstance(part, dict):
        if {"domain", "range"} <= set(part) and isinstance(part["range"], list):
            yield from (one for one in part["range"] if str(one).startswith("#"))
        for value in part.values():
            yield from mark_colours(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from mark_colours(value)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_the_contrast_of_wcag_aa_and_marks_that_of_graphics(scheme: Scheme) -> None:
    for chart in each_chart():
        document = page_document(chart, scheme)
        paper = document["config"]["background"]
        texts, marks = [*text_colours(document)], {*mark_colours(document)}
        assert texts
        assert {c for c in texts if contrast(c, paper) < 4.5} == set()
        heat = {"#f4f8fb", "#cfe2ef", "#7fb8da", "#1b2732", "#254a63", "#2f6c95"}
        pale = {"#dfe5ea", "#33404c"}
        assert {c for c in marks - heat - pale if contrast(c, paper) < 3} == set()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_in_a_heat_map_can_be_read_on_every_colour(scheme: Scheme) -> None:
    findings = few_findings()
    document = page_document(
        baseline_parts.matrix(findings, noised=findings.levels[0]).chart, scheme
    )
    texts, heat = [*text_colours(document)], [*mark_colours(document)]
    ink = document["config"]["axis"]["titleColor"]
    assert ink in texts
    assert min(contrast(ink, colour) for colour in heat) >= 4.5


def test_a_dark_page_has_none_of_the_colours_of_a_light_one() -> None:
    for chart in each_chart():
        light, dark = page_document(chart), page_document(chart, "dark")
        assert light["config"]["background"] == "#ffffff"
        assert '"#ffffff"' not in str(dark).replace("'", '"')
        assert "#1f2a33" not in str(dark)
        assert light["description"] == dark["description"]


def test_a_page_tells_a_screen_reader_of_its_charts() -> None:
    document = page_document(charts.utility_against_epsilon(dossiers.sweep()))
    assert document["config"]["aria"] is True
    assert document["description"].startswith("AUROC against ε")


@pytest.mark.parametrize("count", [2, MAX_SINGLE, 20, 70, 400])
def test_the_runs_of_an_epsilon_stay_in_its_place_however_many_there_are(count: int) -> None:
    places: dict[float, list[float]] = {}
    for row, point in zip(_dodged(seeds(count)), seeds(count), strict=True):
        places.setdefault(point.epsilon or 0.0, []).append(row["epsilon"])
    ordered = sorted(places.items())
    for (_, one), (_, following) in zip(ordered, ordered[1:], strict=False):
        assert max(one) * 1.3 < min(following)
    assert min(ordered[0][1]) > 0.5 / 1.6 and max(ordered[-1][1]) < 8 * 1.6


def test_many_runs_of_an_epsilon_are_a_range_with_small_marks() -> None:
    few = page_document(charts.utility_against_epsilon(seeds(MAX_SINGLE)))
    many = page_document(charts.utility_against_epsilon(seeds(20)))
    assert few["height"] == many["height"]
    assert "'least': 0.7, 'most': 0.7" in str(many)
    assert "'least': 0" not in str(few)


def test_height_does_not_grow_with_rounds() -> None:
    rounds = [dossiers.round_facts(number) for number in range(300)]
    few, many = (charts.rounds_timeline(some).to_dict() for some in (rounds[:4], rounds))
    assert few["height"] == many["height"]


def test_rounds_are_joined_only_where_the_intervals_allow_a_trend() -> None:
    def lines(drawn: CourseFacts) -> int:
        document = charts.figure_by_round(drawn).to_dict()
        return sum(layer["mark"]["type"] == "line" for layer in document["layer"])

    assert lines(course(0.6, 0.7, 0.8, 0.9)) == 1
    assert lines(course(0.7, 0.72, 0.69, 0.71)) == 0
    assert lines(course(0.6, 0.9)) == 0


def test_why_no_line_joins_released_means_is_said() -> None:
    apart = [run_at(0.5, 1, 0.6), run_at(8.0, 1, 0.9)]
    close = [run_at(0.5, 1, 0.7), run_at(8.0, 1, 0.72)]
    assert line_text(apart) == ""
    assert line_text([replace(p, kind=EXACT, low=None, high=None) for p in close]) == ""
    assert line_text(close).startswith("No line joins the released means: those")


def test_of_one_epsilon_no_missing_line_is_explained() -> None:
    assert line_text([run_at(1.0, 1, 0.7), run_at(1.0, 2, 0.72)]) == ""


def test_single_runs_are_not_called_means_over_seeds() -> None:
    single = [run_at(0.5, 1, 0.7), run_at(8.0, 1, 0.72)]
    assert interval_text(single).startswith("Each point is one run")
    assert "over seeds only" in interval_text([*single, run_at(8.0, 2, 0.71)])


def test_charts_that_are_compared_have_one_scale() -> None:
    sites = dossiers.finished().sites
    domains = [
        charts.site_metrics(drawn, ACCURACY, among=(0.2, 0.95)).to_dict()["layer"][0]["encoding"][
            "x"]["scale"]["domain"] for drawn in (sites, sites[:1])
    ]  # fmt: skip
    assert domains[0] == domains[1] and domains[0][0] < 0.2
    calendar = _calendar()
    tops = [
        drift_chart(calendar, column, top=top_of(calendar, "psi")).to_dict()["layer"][-1][
            "encoding"]["y"]["scale"]["domain"] for column in calendar.columns
    ]  # fmt: skip
    assert len({tuple(top) for top in tops}) == 1


def test_a_picture_in_dots_is_a_png() -> None:
    assert to_png(charts.clip_by_round([dossiers.round_facts(0, clip=1.0)]))[:4] == b"\x89PNG"


def test_on_a_narrow_page_names_are_cut_and_a_legend_stands_in_lines_but_in_no_report() -> None:
    chart = charts.site_metrics(dossiers.finished().sites, ACCURACY)
    page, report = page_document(chart), chart.to_dict(validate=False)
    assert page["config"]["legend"]["columns"] == {"expr": "containerSize()[0] < 480 ? 1 : 0"}
    assert page["config"]["legend"]["labelLimit"] == report["config"]["legend"]["labelLimit"]
    assert "containerSize()[0] < 480 ? 88 : 180" in str(page)
    assert "containerSize" not in str(report)
    assert page["datasets"] == report["datasets"]


def test_numbers_below_the_budgets_stand_in_their_places_and_apart() -> None:
    chart = charts.privacy_spent(dossiers.finished().sites).to_dict()
    axis = chart["layer"][0]["encoding"]["x"]["axis"]
    assert axis["labelFlush"] is False and axis["labelSeparation"] >= 8
