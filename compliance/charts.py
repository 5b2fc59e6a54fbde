"""Draws the platform's charts; pages, reports and the dashboard all take them from here.

Rules:

1. A chart is a function of facts. Its twin in ``chart_words`` says the same
   in words, and that text travels inside the drawing.
2. Colours are Okabe and Ito's, told apart by the colour-blind; a second sign
   (shape, dash, word) always repeats what a colour says.
3. ``to_svg`` needs no network and always gives the same bytes: the font is one
   that the converter carries with it.
"""

import hashlib
import html
import math
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from compliance.chart_words import (
    TOO_FEW,
    UNFINISHED,
    describe_privacy,
    describe_rounds,
    describe_sites,
    describe_utility,
    released_value,
    site_claim,
    spent_of_budget,
)
from compliance.dossier import RoundFacts, SiteFacts
from compliance.utility import EXACT, RELEASED, UtilityLevel, UtilityPoint, utility_levels

Chart: TypeAlias = alt.LayerChart
Rows: TypeAlias = list[dict[str, Any]]

BLUE, VERMILLION, GREY = "#0072b2", "#d55e00", "#8a949c"
PALE, INK, MUTED, GRID = "#dfe5ea", "#1f2a33", "#5d6b76", "#e8ecef"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


_WIDTH = 600
_ROW_HEIGHT = 40
_MOST_BARS = 120
#: Room on the right for figures, also where a browser has only a wider font.
_PADDING = {"left": 8, "top": 8, "bottom": 8, "right": 24}
_VEGA_LITE = "6.4"
#: A name inside a drawing, where it is given and where it is used.
_NAME = re.compile(r'(\bid="|url\(#|href="#)([\w-]+)')
_AUROC = "AUROC of the test patients"


def utility_against_epsilon(points: Sequence[UtilityPoint]) -> Chart:
    """Draws AUROC against epsilon: each run, the mean, and the range over seeds.

    Runs without privacy have no epsilon to stand above; they become a dashed
    line. Released figures carry their 95 % intervals.

    Raises:
        ValueError: there is no run to draw.
    """
    if not points:
        raise ValueError("utility against epsilon needs at least one run")
    levels = utility_levels(points)
    epsilons = sorted({level.epsilon for level in levels if level.epsilon is not None})
    x = (
        alt.X("epsilon:Q", title="ε for one patient (log scale: left is more private)")
        .scale(type="log", domain=_log_domain(epsilons), nice=False)
        .axis(values=epsilons or [0.5, 1, 2, 4, 8], format="~g", grid=False)
    )
    scale = alt.Scale(domain=_unit_domain([*_heights(points)]), zero=False, nice=False)
    y = alt.Y("auroc:Q", title=_AUROC, scale=scale).axis(format=".2f")
    at_epsilon = [level for level in levels if level.epsilon is not None]
    layers = [
        *_band_and_mean(at_epsilon, x, y),
        *_run_marks([point for point in points if point.epsilon is not None], x, y),
        *_reference(levels, y),
    ]
    return _finished(layers, describe_utility(points), height=300)


def site_metrics(sites: Sequence[SiteFacts]) -> Chart:
    """Draws the accuracy at each hospital, best first, with 95 % intervals.

    The highest and the lowest are named; a hospital with too few patients for
    a figure stays in the chart, greyed, so that nobody forgets it.

    Raises:
        ValueError: there is no hospital to draw.
    """
    if not sites:
        raise ValueError("accuracy at each hospital needs at least one hospital")
    ranked = sorted(sites, key=lambda site: (-(_accuracy(site) or -1.0), site.site))
    rows = _site_rows(ranked)
    kinds = sorted({row["what"] for row in rows})
    values = [row[key] for row in rows for key in ("value", "low", "high") if key in row]
    x = (
        alt.X("value:Q", title="accuracy on the hospital's test patients")
        .scale(domain=_unit_domain(values), zero=False, nice=False)
        .axis(format=".2f")
    )
    y = _site_axis([site.site for site in ranked])
    layers = [
        _data([r for r in rows if r["what"] == RELEASED and "low" in r])
        .mark_rule(strokeWidth=3, strokeCap="round", opacity=0.55)
        .encode(x=x, x2="high:Q", y=y, color=_kind_colour(kinds))
        .transform_calculate(value="datum.low"),
        _data([r for r in rows if r["what"] == RELEASED])
        .mark_point(filled=True, size=110, opacity=1)
        .encode(x=x, y=y, color=_kind_colour(kinds), shape=_kind_shape(kinds)),
        _data([r for r in rows if r["what"] == EXACT])
        .mark_point(filled=False, size=90, strokeWidth=2, opacity=1)
        .encode(x=x, y=y, color=_kind_colour(kinds), shape=_kind_shape(kinds)),
        *_site_notes(ranked, y),
    ]
    return _finished(layers, describe_sites(sites), height=_ROW_HEIGHT * len(sites))


def privacy_spent(sites: Sequence[SiteFacts]) -> Chart:
    """Draws, per hospital, the enforced epsilon within its budget and this run's claim.

    Raises:
        ValueError: there is no hospital to draw.
    """
    if not sites:
        raise ValueError("privacy spent needs at least one hospital")
    kinds = ["budget for life", "booked by all runs", "claim of this run"]
    colour = alt.Color("what:N", title=None).scale(domain=kinds, range=[PALE, BLUE, INK])
    x = alt.X("epsilon:Q", title="ε for one patient").scale(domainMin=0)
    y = _site_axis([site.site for site in sites])
    budget, enforced, claim = (
        _data(_spent_rows(sites, kind)).encode(x=x, y=y, color=colour.legend(symbolType="square"))
        for kind in kinds
    )
    layers = [
        budget.mark_bar(size=24, cornerRadiusEnd=3),
        enforced.mark_bar(size=12, cornerRadiusEnd=2),
        claim.mark_tick(size=30, thickness=3),
        _margin_text([{"site": s.site, "text": spent_of_budget(s)} for s in sites], y),
    ]
    return _finished(layers, describe_privacy(sites), height=_ROW_HEIGHT * len(sites))


def rounds_timeline(rounds: Sequence[RoundFacts]) -> Chart:
    """Draws how long each round took, which failed, and how many sites dropped out.

    More than 120 rounds are drawn in equal groups.

    Raises:
        ValueError: there is no round to draw.
    """
    if not rounds:
        raise ValueError("the timeline needs at least one round")
    rows = _round_rows(rounds)
    kinds = [k for k in ("training", "evaluation", "not completed") if _has(rows, k)]
    colours = {"training": BLUE, "evaluation": GREY, "not completed": VERMILLION}
    x = (
        alt.X("label:N", title="round", sort=[row["label"] for row in rows])
        .scale(paddingInner=0.45)
        .axis(labelAngle=0, labelOverlap="greedy", grid=False)
    )
    y = alt.Y("seconds:Q", title="seconds").scale(domainMin=0)
    bars = (
        _data(rows)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=x,
            y=y,
            color=alt.Color("what:N", title=None).scale(
                domain=kinds, range=[colours[kind] for kind in kinds]
            ),
        )
    )
    drops = (
        _data([row for row in rows if row["dropped"]])
        .mark_text(dy=-8, color=VERMILLION, fontWeight="bold", fontSize=12)
        .encode(x=x, y=y, text="dropped:N")
    )
    return _finished([bars, drops], describe_rounds(rounds), height=150)


def to_svg(chart: Chart) -> str:
    """Returns a chart as SVG: offline, deterministic, read aloud by its description.

    Guarantee: equal charts give equal bytes. Names inside the drawing are
    numbered afresh (the converter counts on from drawing to drawing) and begin
    with its own digest, so that several drawings can stand in one page.
    """
    document = chart.to_dict()
    drawn = vl_convert.vegalite_to_svg(document, vl_version=_VEGA_LITE, allowed_base_urls=[])
    svg = _renamed(drawn)
    label = html.escape(str(document.get("description", "")), quote=True)
    return re.sub(r"^<svg ", f'<svg role="img" aria-label="{label}" ', svg, count=1)


def _renamed(svg: str) -> str:
    places: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        return f"{match[1]}{places.setdefault(match[2], len(places))}"

    svg = _NAME.sub(numbered, svg)
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    return _NAME.sub(rf"\g<1>c{own}-\g<2>", svg)


def _data(rows: Rows) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=rows))


def _finished(layers: Sequence[alt.Chart], description: str, height: int) -> Chart:
    text = {"labelColor": MUTED, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
    styled = alt.LayerChart(layer=list(layers)).properties(
        width=_WIDTH, height=height, description=description, padding=_PADDING
    )
    finished: Chart = (
        styled.configure(font=FONT, background="#ffffff", aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            **text, titleFontWeight="normal", titlePadding=10, gridColor=GRID, domainColor=GREY,
            tickColor=GREY, labelPadding=6, tickCount=6,
        )
        .configure_legend(
            orient="top", direction="horizontal", labelColor=INK, labelFontSize=12,
            symbolOpacity=1, offset=14, labelLimit=280, columnPadding=32,
        )
    )  # fmt: skip
    return finished


def _kind_colour(kinds: Sequence[str]) -> alt.Color:
    colours = {EXACT: VERMILLION, RELEASED: BLUE}
    scale = alt.Scale(domain=list(kinds), range=[colours[kind] for kind in kinds])
    return alt.Color("what:N", title=None, scale=scale)


def _kind_shape(kinds: Sequence[str]) -> alt.Shape:
    shapes = {EXACT: "diamond", RELEASED: "circle"}
    scale = alt.Scale(domain=list(kinds), range=[shapes[kind] for kind in kinds])
    return alt.Shape("what:N", title=None, scale=scale)


def _site_axis(names: list[str]) -> alt.Y:
    axis = alt.Axis(labelFontSize=13, labelColor=INK, ticks=False, domain=False, labelLimit=180)
    return alt.Y("site:N", title=None, sort=names, scale=alt.Scale(domain=names), axis=axis)


def _margin_text(rows: Rows, y: alt.Y, **style: Any) -> alt.Chart:
    marks = _data(rows).mark_text(align="left", dx=10, fontSize=12, color=MUTED, **style)
    placed: alt.Chart = marks.encode(x=alt.value("width"), y=y, text="text:N")
    return placed


def _heights(points: Sequence[UtilityPoint]) -> list[float]:
    drawn = [(point.low, point.auroc, point.high) for point in points]
    return [value for values in drawn for value in values if value is not None]


def _log_domain(epsilons: list[float]) -> list[float]:
    return [epsilons[0] / 1.6, epsilons[-1] * 1.6] if epsilons else [0.4, 10]


def _unit_domain(values: Sequence[float]) -> list[float]:
    """Returns a domain within [0, 1], in steps of 0.05, at least 0.1 wide, around the values."""
    if not values:
        return [0.0, 1.0]
    high = min(1.0, math.ceil((max(values) + 0.005) * 20) / 20)
    low = max(0.0, math.floor((min(values) - 0.005) * 20) / 20)
    return [max(0.0, round(min(low, high - 0.1), 2)), round(high, 2)]


def _band_and_mean(levels: Sequence[UtilityLevel], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    kinds = sorted({level.kind for level in levels})
    rows: dict[str, Rows] = {EXACT: [], RELEASED: []}
    for level in levels:
        rows[level.kind].append(
            {
                "epsilon": level.epsilon,
                "auroc": level.mean,
                "low": level.low,
                "high": level.high,
                "what": level.kind,
            }
        )
    low = alt.Y("low:Q", title=_AUROC)
    band = _data(rows[EXACT]).mark_area(opacity=0.16)
    solid, dashed = (
        _data(rows[kind]).mark_line(strokeWidth=2.5, strokeDash=dash)
        for kind, dash in ((EXACT, [1, 0]), (RELEASED, [6, 4]))
    )
    return [
        band.encode(x=x, y=low, y2="high:Q", color=_kind_colour(kinds)),
        solid.encode(x=x, y=y, color=_kind_colour(kinds)),
        dashed.encode(x=x, y=y, color=_kind_colour(kinds)),
    ]


def _run_marks(points: Sequence[UtilityPoint], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    rows = _dodged(points)
    kinds = sorted({point.kind for point in points})
    return [
        _data([row for row in rows if "low" in row])
        .mark_rule(strokeWidth=1.5, opacity=0.5)
        .encode(x=x, y=alt.Y("low:Q", title=_AUROC), y2="high:Q", color=_kind_colour(kinds)),
        _data(rows)
        .mark_point(filled=True, size=46, opacity=0.9)
        .encode(x=x, y=y, color=_kind_colour(kinds), shape=_kind_shape(kinds)),
    ]


def _dodged(points: Sequence[UtilityPoint]) -> Rows:
    """Returns a row a run; released runs at one epsilon stand side by side."""
    beside: dict[float, list[UtilityPoint]] = {}
    for point in sorted(points, key=lambda p: (p.epsilon or 0.0, p.seed)):
        if point.kind == RELEASED and point.epsilon is not None:
            beside.setdefault(point.epsilon, []).append(point)
    rows: Rows = [
        {"epsilon": p.epsilon, "auroc": p.auroc, "what": p.kind} for p in points if p.kind == EXACT
    ]
    for epsilon, runs in beside.items():
        for place, point in enumerate(runs):
            shift = 1.035 ** (place - (len(runs) - 1) / 2)
            row = {"epsilon": epsilon * shift, "auroc": point.auroc, "what": point.kind}
            if point.low is not None and point.high is not None:
                row |= {"low": point.low, "high": point.high}
            rows.append(row)
    return rows


def _reference(levels: Sequence[UtilityLevel], y: alt.Y) -> list[alt.Chart]:
    without = [level for level in levels if level.epsilon is None]
    rows = [
        {"auroc": lv.mean, "what": lv.kind, "text": f"without privacy: {lv.mean:.3f}"}
        for lv in without[:1]
    ]
    line = _data(rows).mark_rule(strokeDash=[2, 3], strokeWidth=1.5, color=INK).encode(y=y)
    text = (
        _data(rows)
        .mark_text(align="left", baseline="bottom", dx=4, dy=-4, color=INK, fontSize=12)
        .encode(x=alt.value(0), y=y, text="text:N")
    )
    return [line, text] if rows else []


def _accuracy(site: SiteFacts) -> float | None:
    released = released_value(site)
    return site.exact_accuracy if released is None else released


def _site_rows(sites: Sequence[SiteFacts]) -> Rows:
    rows: Rows = []
    for site in sites:
        released, value = site.released_accuracy, released_value(site)
        if released is not None and value is not None:
            row: dict[str, Any] = {"site": site.site, "what": RELEASED, "value": value}
            if released.low is not None and released.high is not None:
                row |= {"low": released.low, "high": released.high}
            rows.append(row)
        if site.exact_accuracy is not None:
            rows.append({"site": site.site, "what": EXACT, "value": site.exact_accuracy})
    return rows


def _site_notes(ranked: Sequence[SiteFacts], y: alt.Y) -> list[alt.Chart]:
    values = {site.site: value for site in ranked if (value := released_value(site)) is not None}
    best, worst = max(values.values(), default=None), min(values.values(), default=None)
    notes: Rows = []
    for name, value in values.items():
        word = {best: " highest", worst: " lowest"}.get(value, "") if best != worst else ""
        notes.append({"site": name, "text": f"{value:.3f}{word}"})
    absent: Rows = [
        {"site": site.site, "text": _absence(site)} for site in ranked if site.site not in values
    ]
    grey = _data(absent).mark_text(align="left", dx=6, fontSize=12, color=GREY, fontStyle="italic")
    return [
        _margin_text(notes, y, fontWeight="bold"),
        grey.encode(x=alt.value(0), y=y, text="text:N"),
    ]


def _absence(site: SiteFacts) -> str:
    return "nothing released" if site.released_accuracy is None else TOO_FEW


def _spent_rows(sites: Sequence[SiteFacts], kind: str) -> Rows:
    figure = {
        "budget for life": lambda site: site.privacy.budget_epsilon,
        "booked by all runs": lambda site: site.privacy.enforced_epsilon,
        "claim of this run": site_claim,
    }[kind]
    found = [(site.site, figure(site)) for site in sites]
    return [
        {"site": name, "what": kind, "epsilon": epsilon}
        for name, epsilon in found
        if epsilon is not None and math.isfinite(epsilon)
    ]


def _has(rows: Rows, kind: str) -> bool:
    return any(row["what"] == kind for row in rows)


def _round_rows(rounds: Sequence[RoundFacts]) -> Rows:
    size = math.ceil(len(rounds) / _MOST_BARS)
    groups = [rounds[start : start + size] for start in range(0, len(rounds), size)]
    return [_round_row(group) for group in groups]


def _round_row(group: Sequence[RoundFacts]) -> dict[str, Any]:
    first, last = group[0], group[-1]
    unfinished = any(r.state in UNFINISHED for r in group)
    dropped = sum(len(r.dropped) for r in group)
    return {
        "label": _round_label(first) if first is last else f"{first.number}–{last.number}",
        "seconds": sum(r.seconds or 0.0 for r in group),
        "what": "not completed" if unfinished else last.purpose,
        "dropped": f"−{dropped}" if dropped else "",
    }


def _round_label(round_: RoundFacts) -> str:
    again = f" ({round_.attempt + 1})" if round_.attempt else ""
    return f"{'eval' if round_.purpose == 'evaluation' else round_.number}{again}"
