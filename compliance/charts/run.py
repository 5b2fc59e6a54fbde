"""Draws the platform's charts; pages, reports and the dashboard all take them from here.

Rules:

1. A chart is a function of facts. Its equivalent in ``descriptions`` says the
   same in words, and that text is stored inside the drawing.
2. Colours are Okabe and Ito's, told apart by the colour-blind; a second sign
   (shape, dash, word) always repeats what a colour says.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt

from compliance.charts.descriptions import (
    TOO_FEW,
    UNFINISHED,
    describe_clips,
    describe_course,
    describe_privacy,
    describe_rounds,
    describe_sites,
    released_value,
    spent_of_budget,
)
from compliance.charts.privacy_utility import utility_against_epsilon
from compliance.charts.theme import (
    BLUE,
    GREY,
    INK,
    PALE,
    ROW_HEIGHT,
    VERMILLION,
    Chart,
    Rows,
    data,
    domain_of,
    finished,
    kind_colour,
    kind_shape,
    margin_text,
    tick_format,
    to_svg,
)
from compliance.estimates.trend import Trend, trend
from compliance.facts.dossier import CourseFacts, RoundFacts, SiteFacts
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import show
from compliance.facts.privacy_utility import EXACT, RELEASED

__all__ = [
    "BLUE",
    "GREY",
    "Chart",
    "clip_by_round",
    "course_trend",
    "figure_by_round",
    "privacy_spent",
    "rounds_timeline",
    "site_metrics",
    "to_svg",
    "utility_against_epsilon",
]

#: Pixels between two groups' names on an axis, also where a browser has only a wider font.
_NAMES_APART = 20
_MAX_BARS = 120
_NOTHING = "nothing released"
_KEPT, _TAKEN_BACK = "went on from it", "rolled back"


def site_metrics(
    sites: Sequence[SiteFacts], figure: FigureKind, *, among: Sequence[float] = ()
) -> Chart:
    """Draws a figure at each hospital, best first, with 95 % intervals.

    The highest and the lowest are named; a hospital with too few patients for
    a figure stays in the chart, in italics, so that it is not overlooked.

    Args:
        sites: the hospitals of a run.
        figure: what is drawn of each.
        among: further values that the axis has to hold, so that two drawings can be compared.

    Raises:
        ValueError: there is no hospital to draw.
    """
    if not sites:
        raise ValueError("figures at each hospital need at least one hospital")
    ranked = sorted(sites, key=lambda site: _rank(site, figure))
    rows = _site_rows(ranked, figure)
    kinds = sorted({row["what"] for row in rows}) or [RELEASED]  # no legend is endlessly high
    values = [row[key] for row in rows for key in ("value", "low", "high") if key in row]
    values += among
    x = (
        alt.X("value:Q", title=f"{figure.title} on the hospital's test patients")
        .scale(domain=domain_of(figure, values), zero=False, nice=False)
        .axis(format=tick_format(figure))
    )
    y = _site_axis([site.site for site in ranked])
    layers = [
        data([r for r in rows if r["what"] == RELEASED and "low" in r])
        .mark_rule(strokeWidth=3, strokeCap="round", opacity=0.55)
        .encode(x=x, x2="high:Q", y=y, color=kind_colour(kinds))
        .transform_calculate(value="datum.low"),
        data([r for r in rows if r["what"] == RELEASED])
        .mark_point(filled=True, size=110, opacity=1)
        .encode(x=x, y=y, color=kind_colour(kinds), shape=kind_shape(kinds)),
        data([r for r in rows if r["what"] == EXACT])
        .mark_point(filled=False, size=90, strokeWidth=2, opacity=1)
        .encode(x=x, y=y, color=kind_colour(kinds), shape=kind_shape(kinds)),
        *_site_notes(ranked, figure, y),
    ]
    return finished(layers, describe_sites(sites, figure), height=ROW_HEIGHT * len(sites))


def privacy_spent(sites: Sequence[SiteFacts]) -> Chart:
    """Draws, per hospital, which part of its budget all runs have booked, and this one.

    Raises:
        ValueError: there is no hospital to draw.
    """
    if not sites:
        raise ValueError("privacy spent needs at least one hospital")
    kinds = ["budget for life", "booked by all runs", "this run"]
    colour = alt.Color("what:N", title=None).scale(domain=kinds, range=[PALE, BLUE, INK])
    x = alt.X("share:Q", title="part of the budget for life").scale(domainMin=0)
    x = x.axis(format=".0%", labelFlush=False, labelOverlap="greedy", labelSeparation=8)
    y = _site_axis([site.site for site in sites])
    budget, booked, this_run = (
        data(_spent_rows(sites, kind)).encode(x=x, y=y, color=colour.legend(symbolType="square"))
        for kind in kinds
    )
    layers = [
        budget.mark_bar(size=24, cornerRadiusEnd=3),
        booked.mark_bar(size=12, cornerRadiusEnd=2),
        this_run.mark_tick(size=30, thickness=3),
        margin_text([{"site": s.site, "text": spent_of_budget(s)} for s in sites], y),
    ]
    return finished(layers, describe_privacy(sites), height=ROW_HEIGHT * len(sites))


def rounds_timeline(rounds: Sequence[RoundFacts]) -> Chart:
    """Draws how long each round took, which failed, and how many sites dropped out.

    More than 120 rounds are drawn in equal groups.

    Raises:
        ValueError: there is no round to draw.
    """
    if not rounds:
        raise ValueError("the timeline needs at least one round")
    rows = _round_rows(rounds)
    apart = _NAMES_APART if any(one.group is not None for one in rounds) else 0
    kinds = [k for k in ("training", "evaluation", "not completed") if _has(rows, k)]
    colours = {"training": BLUE, "evaluation": GREY, "not completed": VERMILLION}
    x = (
        alt.X("label:N", title="round", sort=[row["label"] for row in rows])
        .scale(paddingInner=0.45)
        .axis(labelAngle=0, labelOverlap="greedy", labelSeparation=apart, grid=False)
    )
    y = alt.Y("seconds:Q", title="seconds").scale(domainMin=0)
    bars = (
        data(rows)
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
        data([row for row in rows if row["dropped"]])
        .mark_text(dy=-8, color=INK, fontWeight="bold", fontSize=12)
        .encode(x=x, y=y, text="dropped:N")
    )
    return finished([bars, drops], describe_rounds(rounds), height=150)


def clip_by_round(rounds: Sequence[RoundFacts]) -> Chart:
    """Draws where an adaptive clip was in each training round, on a logarithmic axis.

    Raises:
        ValueError: no round has an adaptive clip.
    """
    rows: Rows = [{"round": r.number, "clip": r.clip} for r in rounds if r.clip is not None]
    if not rows:
        raise ValueError("no round has an adaptive clip")
    line = (
        data(rows)
        .mark_line(color=BLUE, point=len(rows) <= _MAX_BARS)
        .encode(
            x=alt.X("round:Q", title="training round").scale(zero=False).axis(tickMinStep=1),
            y=alt.Y("clip:Q", title="clip").scale(type="log", nice=True),
        )
    )
    return finished([line], describe_clips(rounds), height=150)


def figure_by_round(course: CourseFacts) -> Chart:
    """Draws the released headline figure after each evaluated round, with 95 % intervals.

    Models that were taken back have another colour and shape. A line is drawn only where
    ``course_trend`` allows one.

    Raises:
        ValueError: no evaluation has released a figure.
    """
    rows = _course_rows(course)
    if not rows:
        raise ValueError("no evaluation has released a figure")
    kinds = [kind for kind in (_KEPT, _TAKEN_BACK) if _has(rows, kind)]
    colours = {_KEPT: BLUE, _TAKEN_BACK: VERMILLION}
    values = [row[key] for row in rows for key in ("value", "low", "high") if key in row]
    x = alt.X("round:Q", title="after training round").scale(zero=False).axis(tickMinStep=1)
    y = (
        alt.Y("value:Q", title=f"released {course.figure.title}")
        .scale(domain=domain_of(course.figure, values), zero=False, nice=False)
        .axis(format=tick_format(course.figure))
    )
    colour = alt.Color("what:N", title=None).scale(
        domain=kinds, range=[colours[kind] for kind in kinds]
    )
    shape = alt.Shape("what:N", title=None).scale(
        domain=kinds, range=[{_KEPT: "circle", _TAKEN_BACK: "cross"}[kind] for kind in kinds]
    )
    layers = [
        *_trend_line(course_trend(course), x, y),
        data([row for row in rows if "low" in row])
        .mark_rule(strokeWidth=3, strokeCap="round", opacity=0.55)
        .encode(x=x, y=y, y2="high:Q", color=colour)
        .transform_calculate(value="datum.low"),
        data(rows)
        .mark_point(filled=True, size=110, opacity=1)
        .encode(x=x, y=y, color=colour, shape=shape),
    ]
    return finished(layers, describe_course(course), height=180)


def course_trend(course: CourseFacts) -> Trend | None:
    """Returns the trend of the released figure over the rounds, of models that stand."""
    return trend(
        [(float(one.rounds), one.released) for one in course.evaluations if not one.is_taken_back]
    )


def _trend_line(found: Trend | None, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    if found is None or not found.is_shown:
        return []
    ends: Rows = [{"round": place, "value": height} for place, height in (found.begin, found.end)]
    return [data(ends).mark_line(color=GREY, strokeDash=[6, 4], strokeWidth=1.5).encode(x=x, y=y)]


def _course_rows(course: CourseFacts) -> Rows:
    rows: Rows = []
    for one in course.evaluations:
        released = one.released
        if released.value is None:
            continue
        row: dict[str, Any] = {
            "round": one.rounds,
            "what": _TAKEN_BACK if one.is_taken_back else _KEPT,
            "value": released.value,
        }
        if released.low is not None and released.high is not None:
            row |= {"low": released.low, "high": released.high}
        rows.append(row)
    return rows


def _site_axis(names: list[str]) -> alt.Y:
    axis = alt.Axis(labelFontSize=13, labelColor=INK, ticks=False, domain=False, labelLimit=180)
    return alt.Y("site:N", title=None, sort=names, scale=alt.Scale(domain=names), axis=axis)


def _rank(site: SiteFacts, figure: FigureKind) -> tuple[float, str]:
    """Returns the key by which hospitals are sorted: best first, those without a figure last."""
    value = released_value(site, figure)
    value = site.exact.get(figure.name) if value is None else value
    return (math.inf if value is None else figure.lead(0.0, value)), site.site


def _site_rows(sites: Sequence[SiteFacts], figure: FigureKind) -> Rows:
    rows: Rows = []
    for site in sites:
        released, value = site.released.get(figure.name), released_value(site, figure)
        exact = site.exact.get(figure.name)
        if released is not None and value is not None:
            row: dict[str, Any] = {"site": site.site, "what": RELEASED, "value": value}
            if released.low is not None and released.high is not None:
                row |= {"low": released.low, "high": released.high}
            rows.append(row)
        if exact is not None:
            rows.append({"site": site.site, "what": EXACT, "value": exact})
    return rows


def _site_notes(ranked: Sequence[SiteFacts], figure: FigureKind, y: alt.Y) -> list[alt.Chart]:
    found = ((site.site, released_value(site, figure)) for site in ranked)
    values = {name: value for name, value in found if value is not None}
    best, worst = max(values.values(), default=None), min(values.values(), default=None)
    notes: Rows = []
    for name, value in values.items():
        word = {best: " highest", worst: " lowest"}.get(value, "") if best != worst else ""
        notes.append({"site": name, "text": f"{show(value, figure.form)}{word}"})
    absent: Rows = [
        {"site": site.site, "text": TOO_FEW if figure.name in site.released else _NOTHING}
        for site in ranked
        if site.site not in values
    ]
    return [
        margin_text(notes, y, fontWeight="bold"),
        margin_text(absent, y, fontStyle="italic"),
    ]


def _spent_rows(sites: Sequence[SiteFacts], kind: str) -> Rows:
    figures: dict[str, Callable[[SiteFacts], float | None]] = {
        "budget for life": lambda site: None if site.privacy.budget_epsilon is None else 1.0,
        "booked by all runs": lambda site: site.privacy.budget_share,
        "this run": lambda site: site.privacy.run_share,
    }
    found = [(site.site, figures[kind](site)) for site in sites]
    return [
        {"site": name, "what": kind, "share": share} for name, share in found if share is not None
    ]


def _has(rows: Rows, kind: str) -> bool:
    return any(row["what"] == kind for row in rows)


def _round_rows(rounds: Sequence[RoundFacts]) -> Rows:
    size = math.ceil(len(rounds) / _MAX_BARS)
    groups = [rounds[start : start + size] for start in range(0, len(rounds), size)]
    return [_round_row(group) for group in groups]


def _round_row(group: Sequence[RoundFacts]) -> dict[str, Any]:
    first, last = group[0], group[-1]
    unfinished = any(r.state in UNFINISHED for r in group)
    dropped = sum(len(r.dropped) for r in group)
    return {
        "label": _round_label(first) if first is last else f"{first.number}–{last.number}",
        "seconds": sum(r.seconds or 0.0 for r in group),
        "what": "not completed" if unfinished else last.round_kind,
        "dropped": f"−{dropped}" if dropped else "",
    }


def _round_label(round_: RoundFacts) -> str:
    again = f" ({round_.attempt + 1})" if round_.attempt else ""
    if round_.group is not None:
        return f"{round_.number}, group {round_.group}{again}"
    if round_.is_interim:
        return f"eval {round_.number}{again}"
    return f"{'eval' if round_.round_kind == 'evaluation' else round_.number}{again}"
