"""The charts: what they show, what they say, and that they are the same bytes every time."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.charts import run as charts
from compliance.charts.descriptions import (
    TOO_FEW,
    _place,
    describe_privacy,
    describe_rounds,
    describe_sites,
    describe_utility,
    site_claim,
)
from compliance.charts.theme import _converted
from compliance.estimates.interval import Interval
from compliance.facts.dossier import SiteFacts
from compliance.facts.figures import ACCURACY, MAE
from compliance.facts.privacy_utility import (
    DISTRIBUTED,
    EXACT,
    NONE,
    PER_SITE,
    POOLED,
    RELEASED,
    UtilityPoint,
    best_known,
    compares_modes,
    supports_line,
    utility_levels,
)
from tests.support.simulated import dossiers

_UNIT = st.floats(min_value=0, max_value=1)
_POINTS = st.builds(
    lambda kind, where, seed, value: UtilityPoint(
        mode=where[0], epsilon=where[1], seed=seed, value=value, kind=kind
    ),
    st.sampled_from([EXACT, RELEASED]),
    st.one_of(
        st.just((NONE, None)),
        st.tuples(st.sampled_from([PER_SITE, DISTRIBUTED]), st.sampled_from([0.5, 1.0, 8.0])),
        st.tuples(st.just(POOLED), st.sampled_from([None, 0.5])),
    ),
    st.integers(0, 5),
    _UNIT,
)


def _site_accuracy(sites: Sequence[SiteFacts]) -> charts.Chart:
    return charts.site_metrics(sites, ACCURACY)


def test_a_chart_of_withheld_figures_alone_has_a_finite_size() -> None:
    few = Interval(value=None, low=None, high=None, note="too few patients")
    sites = [
        replace(site, exact={}, released={ACCURACY.name: few}) for site in dossiers.finished().sites
    ]
    assert "Infinity" not in charts.to_svg(_site_accuracy(sites))


def _texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)  # noqa: S314 -- our own drawing
    return [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text")]


def _each_chart() -> list[charts.Chart]:
    whole = dossiers.finished()
    return [
        charts.utility_against_epsilon(dossiers.sweep()),
        charts.utility_against_epsilon(dossiers.modes(0.3)),
        _site_accuracy(whole.sites),
        charts.privacy_spent(whole.sites),
        charts.rounds_timeline(whole.rounds),
    ]


def test_drawing_is_the_same_bytes_every_time() -> None:
    before = [charts.to_svg(chart) for chart in _each_chart()]
    _converted.cache_clear()
    assert [charts.to_svg(chart) for chart in _each_chart()] == before
    assert _converted.cache_info().misses == len(before)


def test_every_chart_is_valid_vega_lite() -> None:
    for chart in _each_chart():
        assert chart.to_dict(validate=True)["description"]


def test_drawing_fetches_nothing_and_runs_nothing() -> None:
    svg = charts.to_svg(_site_accuracy(dossiers.finished().sites))
    assert set(re.findall(r"https?://[^\"\s]+", svg)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "<script" not in svg and "<image" not in svg


def test_drawing_is_read_aloud_by_its_description() -> None:
    rounds = dossiers.finished().rounds
    root = ElementTree.fromstring(charts.to_svg(charts.rounds_timeline(rounds)))  # noqa: S314
    assert root.get("role") == "img"
    assert root.get("aria-label") == describe_rounds(rounds)


def test_names_inside_two_drawings_never_clash() -> None:
    whole = dossiers.finished()
    drawings = [charts.privacy_spent(whole.sites), charts.rounds_timeline(whole.rounds)]
    names = [set(re.findall(r'id="([^"]+)"', charts.to_svg(drawing))) for drawing in drawings]
    assert names[0] and names[1] and not names[0] & names[1]


def test_every_name_used_inside_a_drawing_is_given_there() -> None:
    svg = charts.to_svg(charts.privacy_spent(dossiers.finished().sites))
    assert set(re.findall(r"url\(#([^)]+)\)", svg)) == set(re.findall(r'id="([^"]+)"', svg))


def test_site_name_cannot_break_out_of_a_drawing() -> None:
    site = dossiers.site_facts('a"><script>x</script>', 0.8)
    svg = charts.to_svg(_site_accuracy([site]))
    assert "<script>" not in svg
    assert 'a"><script>x</script>' in _texts(svg)


def test_levels_are_mean_and_range_over_seeds() -> None:
    levels = [level for level in utility_levels(dossiers.sweep()) if level.kind == EXACT]
    assert [level.epsilon for level in levels] == [0.5, 2.0, 8.0, None]
    assert (levels[0].mean, levels[0].low, levels[0].high) == pytest.approx((0.819, 0.812, 0.826))


def test_runs_without_privacy_become_a_line_and_not_an_epsilon() -> None:
    drawing = charts.utility_against_epsilon(dossiers.sweep())
    ticks = [t for t in _texts(charts.to_svg(drawing)) if t in ("0.5", "2", "8")]
    assert ticks == ["0.5", "2", "8"]
    assert "without privacy: 0.888" in _texts(charts.to_svg(drawing))


def test_exact_figures_are_marked_in_the_legend() -> None:
    svg = charts.to_svg(charts.utility_against_epsilon(dossiers.sweep()))
    assert {"exact (simulation only)", "released"} <= set(_texts(svg))


def test_one_run_alone_can_be_drawn() -> None:
    alone = charts.utility_against_epsilon(dossiers.sweep()[:1])
    assert "0.5" in _texts(charts.to_svg(alone))


def test_modes_are_told_apart_by_colour_and_shape_and_named() -> None:
    svg = charts.to_svg(charts.utility_against_epsilon(dossiers.modes(0.3, 1.0)))
    assert {"per-site noise", "shared noise", "pooled reference (simulation only)"} <= set(
        _texts(svg)
    )
    assert len(set(re.findall(r'stroke-dasharray="([^"]+)"', svg))) >= 3
    for colour in ("#d55e00", "#0072b2", "#009e73"):
        assert colour in svg


def test_what_had_no_privacy_is_a_line_named_in_the_margin() -> None:
    svg = charts.to_svg(charts.utility_against_epsilon(dossiers.modes(0.3, 1.0, None)))
    words = " ".join(_texts(svg)) + " ".join(re.findall(r"<tspan[^>]*>([^<]+)", svg))
    assert "no privacy: 0.985" in words
    assert "no privacy: 0.986" in words


def test_modes_at_one_epsilon_are_rows_with_mean_and_interval() -> None:
    texts = _texts(charts.to_svg(charts.utility_against_epsilon(dossiers.modes(0.3))))
    assert texts.index("per-site noise, ε = 0.3") < texts.index("shared noise, ε = 0.3")
    assert "0.930 (0.920 to 0.940)" in [" ".join(text.split()) for text in texts]


def test_released_figures_give_way_to_exact_ones_where_modes_are_compared() -> None:
    noised = [replace(point, kind=RELEASED) for point in dossiers.modes(0.3)]
    exact = dossiers.modes(0.3)
    both = charts.utility_against_epsilon([*noised, *exact])
    assert charts.to_svg(both) == charts.to_svg(charts.utility_against_epsilon(exact))


@settings(max_examples=15, deadline=None)
@given(st.lists(_POINTS, min_size=1, max_size=8))
def test_any_runs_can_be_drawn_and_every_level_is_described(points: list[UtilityPoint]) -> None:
    svg = charts.to_svg(charts.utility_against_epsilon(points))
    assert svg.startswith('<svg role="img"')
    said = describe_utility(points)
    drawn = best_known(points) if compares_modes(points) else points
    for level in utility_levels(drawn):
        runs = [p.value for p in drawn if (p.kind, p.mode, p.epsilon) == _place(level)]
        each = ", ".join(f"{value:.3f}" for value in runs)  # these have no interval of their own
        assert f"mean {level.mean:.3f}" in said or f": {each}" in said


def test_worst_and_best_hospital_are_named() -> None:
    texts = _texts(charts.to_svg(_site_accuracy(dossiers.finished().sites)))
    assert "0.874 highest" in texts
    assert "0.702 lowest" in texts


def test_hospitals_are_ranked_best_first() -> None:
    texts = _texts(charts.to_svg(_site_accuracy(dossiers.finished().sites)))
    names = [text for text in texts if text in dossiers.SITES]
    assert names == ["north", "east", "west", "south"]


def test_hospital_with_too_few_patients_stays_in_the_chart_in_italics() -> None:
    svg = charts.to_svg(_site_accuracy(dossiers.finished().sites))
    assert TOO_FEW in _texts(svg)
    assert re.search(rf'font-style="italic"[^>]*>{TOO_FEW}', svg)
    assert "west: released too few patients for this epsilon" in describe_sites(
        dossiers.finished().sites, ACCURACY
    )


def test_vacuous_interval_is_too_few_patients_and_no_figure() -> None:
    vacuous = Interval(value=1.0, low=0.3, high=1.0, note="too few patients for this epsilon")
    sites = [dossiers.site_facts(name, 0.8 + 0.01 * n) for n, name in enumerate("ab")]
    sites.append(dossiers.site_facts("c", 0.9, released={"accuracy": vacuous}))
    texts = _texts(charts.to_svg(_site_accuracy(sites)))
    assert "0.810 highest" in texts and TOO_FEW in texts
    assert not [text for text in texts if text.startswith("1.000")]


def _released(
    *figures: tuple[float, float], half: float, mode: str = PER_SITE
) -> list[UtilityPoint]:
    return [
        UtilityPoint(
            epsilon=epsilon, seed=1, value=value, kind=RELEASED, mode=mode,
            low=value - half, high=min(1.0, value + half),
        )
        for epsilon, value in figures
    ]  # fmt: skip


def _lines(points: list[UtilityPoint]) -> list[str]:
    """Returns the paths that join points, without axes and bars."""
    svg = charts.to_svg(charts.utility_against_epsilon(points))
    groups = re.findall(r'<g class="mark-line [^"]*"[^>]*>(.*?)</g>', svg)
    return [path for path in re.findall(r'd="([^"]+)"', "".join(groups)) if "L" in path]


def test_no_line_is_drawn_through_noise() -> None:
    figures = ((0.5, 0.93), (1.0, 0.7), (2.0, 0.75))
    noise, trend = _released(*figures, half=0.24), _released(*figures, half=0.05)
    assert not supports_line(noise) and not _lines(noise)
    assert supports_line(trend) and _lines(trend)
    svg = charts.to_svg(charts.utility_against_epsilon(noise))
    assert "released" in _texts(svg)


def test_no_line_where_modes_are_compared_by_released_figures_that_are_noise() -> None:
    figures = ((0.5, 0.6), (2.0, 0.7))
    local, shared = (_released(*figures, half=0.2, mode=m) for m in (PER_SITE, DISTRIBUTED))
    clear = _released(*figures, half=0.02, mode=DISTRIBUTED)
    assert not _lines(local + shared)
    assert len(_lines(local + clear)) == 1


def test_one_wide_interval_or_none_at_all_takes_the_line_away() -> None:
    ends, middle = _released((0.5, 0.6), (2.0, 0.8), half=0.02), _released((1.0, 0.5), half=0.24)
    assert supports_line(ends) and not supports_line(ends + middle)
    assert not supports_line([replace(point, low=None, high=None) for point in ends])
    assert not supports_line(ends[:1])
    assert supports_line([replace(point, kind=EXACT, low=None, high=None) for point in ends])


def test_an_interval_cut_at_the_bound_of_the_range_makes_no_line() -> None:
    cut = UtilityPoint(
        epsilon=1.0, seed=1, value=1.0, kind=RELEASED, mode=PER_SITE, low=0.85, high=1.0
    )
    whole = replace(cut, epsilon=4.0, value=0.811, low=0.726, high=0.920)
    assert not supports_line([cut, whole]) and not _lines([cut, whole])
    assert supports_line([replace(cut, low=0.93), replace(whole, low=0.726, high=0.87)])


def test_more_seeds_on_the_same_patients_do_not_make_a_line() -> None:
    figures = ((0.5, 0.6), (2.0, 0.7))
    many = [replace(p, seed=s) for p in _released(*figures, half=0.15) for s in range(50)]
    assert not supports_line(many)


def test_equal_hospitals_are_neither_highest_nor_lowest() -> None:
    sites = [dossiers.site_facts(name, 0.8) for name in ("a", "b", "c")]
    texts = _texts(charts.to_svg(_site_accuracy(sites)))
    assert not [text for text in texts if "highest" in text or "lowest" in text]


def test_an_error_in_a_small_unit_is_not_drawn_or_told_as_nothing() -> None:
    small = {"mae": Interval(value=0.00042, low=0.0004, high=0.00045)}
    sites = [dossiers.site_facts("a", None, released=small, exact={"mae": 0.00041})]
    said = describe_sites(sites, MAE)
    assert "a: released 0.00042 (0.0004 to 0.00045), exact 0.00041 (simulation only)" in said
    assert "0.00042" in _texts(charts.to_svg(charts.site_metrics(sites, MAE)))


def test_exact_figures_are_absent_from_a_real_run() -> None:
    site = dossiers.site_facts("a", 0.8, exact={})
    assert "simulation only" not in describe_sites([site], ACCURACY)


def test_hospitals_without_any_figure_are_still_all_named() -> None:
    sites = [dossiers.site_facts(name, None, exact={}) for name in ("a", "b")]
    texts = _texts(charts.to_svg(_site_accuracy(sites)))
    assert texts.count(TOO_FEW) == 2
    assert {"a", "b"} <= set(texts)


def test_claim_is_the_larger_of_training_and_evaluation() -> None:
    site = dossiers.site_facts("a", 0.8)
    dearer = replace(site, privacy=replace(site.privacy, epsilon=1.0, evaluation_epsilon=1.7))
    assert site_claim(dearer) == 1.7


def test_privacy_chart_shows_spent_of_budget() -> None:
    sites = dossiers.finished().sites
    assert _texts(charts.to_svg(charts.privacy_spent(sites))).count("36 % of ε = 10") == len(sites)
    assert "east: this run ε = 1; all runs have booked 36 % of ε = 10" in describe_privacy(sites)


def test_more_than_the_whole_budget_is_drawn_as_more() -> None:
    site = dossiers.site_facts("a", 0.8)
    beyond = replace(site, privacy=replace(site.privacy, budget_share=1.58))
    assert "158 % of ε = 10" in _texts(charts.to_svg(charts.privacy_spent([beyond])))


def test_failed_round_and_drop_outs_are_marked() -> None:
    texts = _texts(charts.to_svg(charts.rounds_timeline(dossiers.failed().rounds)))
    assert "not completed" in texts
    assert "−2" in texts


def test_names_of_groups_stand_apart_below_their_bars() -> None:
    rounds = [
        dossiers.round_facts(number, seconds=1.0, group=group)
        for number in range(1, 13)
        for group in (1, 2, 3)
    ]
    svg = charts.to_svg(charts.rounds_timeline(rounds))
    named = re.findall(r'translate\(([\d.]+),[\d.]+\)"[^>]*opacity="1"[^>]*>\d+, group \d<', svg)
    places = [float(place) for place in named]
    assert len(places) >= 4
    # such a name is 58 pixels wide, or 67 in the widest usual font
    assert min(after - before for before, after in pairwise(places)) >= 75


def test_ten_thousand_rounds_are_drawn_in_groups() -> None:
    rounds = [dossiers.round_facts(number, seconds=1.0) for number in range(10_000)]
    svg = charts.to_svg(charts.rounds_timeline(rounds))
    assert len([text for text in _texts(svg) if "–" in text]) <= 120
    assert svg.count(f'fill="{charts.BLUE}"') < 130
    assert describe_rounds(rounds).startswith("10000 rounds in 10000.0 seconds")


@pytest.mark.parametrize(
    ("draw", "what"),
    [
        (charts.utility_against_epsilon, "at least one run"),
        (_site_accuracy, "at least one hospital"),
        (charts.privacy_spent, "at least one hospital"),
        (charts.rounds_timeline, "at least one round"),
    ],
)
def test_nothing_to_draw_is_refused(draw, what) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=what):
        draw(())


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf")])
def test_point_refuses_an_epsilon_that_is_none(epsilon: float) -> None:
    with pytest.raises(ValueError, match="epsilon must be finite and positive"):
        UtilityPoint(epsilon=epsilon, seed=1, value=0.8, kind=EXACT, mode=PER_SITE)


def test_point_refuses_an_unknown_kind_and_a_figure_that_is_none() -> None:
    with pytest.raises(ValueError, match="kind must be 'exact"):
        UtilityPoint(epsilon=1.0, seed=1, value=0.8, kind="guessed", mode=PER_SITE)
    with pytest.raises(ValueError, match="finite number, got nan"):
        UtilityPoint(epsilon=1.0, seed=1, value=float("nan"), kind=EXACT, mode=PER_SITE)
