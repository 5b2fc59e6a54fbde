"""Draws modes of privacy against each other, and against a pooled reference.

Colour, shape and dash say the mode. Bars and bands are the range of the runs:
nothing is assumed, and with few seeds nothing wide is claimed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import altair as alt

from compliance.charts.descriptions import describe_utility, level_text, range_text
from compliance.charts.theme import (
    BLUE,
    GREEN,
    INK,
    LONG_NAMES,
    VERMILLION,
    WIDTH,
    Chart,
    Rows,
    axis_title,
    data,
    domain_of,
    finished,
    margin_text,
    tick_format,
)
from compliance.facts.comparison.modes import reached
from compliance.facts.privacy_utility import (
    DISTRIBUTED,
    MODES,
    NO_BETTER,
    NONE,
    PER_SITE,
    POOLED,
    UtilityLevel,
    UtilityPoint,
    Withheld,
    figure_of,
    studies_in,
    supports_line,
    utility_levels,
)

_COLOURS = {PER_SITE: VERMILLION, DISTRIBUTED: BLUE, POOLED: GREEN, NONE: INK}
_SHAPES = {PER_SITE: "circle", DISTRIBUTED: "square", POOLED: "triangle-up", NONE: "diamond"}
_DASHES = {PER_SITE: [1, 0], DISTRIBUTED: [8, 3], POOLED: [2, 3], NONE: [1, 0]}
#: Of further studies of a mode.
_MORE_SHAPES = ("cross", "triangle-down", "wedge", "stroke")
_MORE_DASHES = ([4, 2], [10, 3, 2, 3], [2, 2])
_HEIGHT, _ROW_HEIGHT = 300, 50
#: Narrower where words stand beside the frame, so that a page need not shrink them.
_WIDTH = 420
#: A mode, and the name of a study where several of that mode are drawn.
Shown: TypeAlias = tuple[str, str]
_ALL: tuple[Shown, ...] = tuple((mode, "") for mode in MODES)
Style = TypeVar("Style")
#: What two labels in the margin need between them, in pixels.
_LABEL_HEIGHT = 30
#: What a name says in brackets stands in a line of its own.
_TWO_LINES = "split(replace(datum.label, ' (', '|('), '|')"
#: Modes at one epsilon stand this factor apart.
_BESIDE = 1.08


def modes_at_one_epsilon(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()
) -> Chart:
    """Draws a row for each mode: every run a dot, the mean a larger mark, a bar over the range.

    On the right stand the mean and its 95 % interval: ``comparison`` says over what.
    """
    figure, levels = figure_of(points), utility_levels(points)
    rows = [_level_row(level) | {"row": level_text(level)} for level in levels]
    names = [row["row"] for row in rows]
    title = f"{axis_title(figure)}, {levels[0].kind}"
    domain = domain_of(figure, [point.value for point in points])
    x = (
        alt.X("value:Q", title=title)
        .scale(domain=domain, zero=False, nice=False)
        .axis(format=tick_format(figure))
    )
    axis = alt.Axis(
        labelFontSize=13, labelColor=INK, ticks=False, domain=False, labelLimit=260,
        labelExpr=_TWO_LINES,
    )  # fmt: skip
    y = alt.Y("row:N", title=None, sort=names, scale=alt.Scale(domain=names), axis=axis)
    styled = {"color": _colour().legend(None), "shape": _shape().legend(None)}
    dots: Rows = [
        {"row": name, "value": point.value, "what": MODES[level.mode]}
        for name, level in zip(names, levels, strict=True)
        for point in points
        if (point.mode, point.study, point.epsilon) == (level.mode, level.study, level.epsilon)
    ]
    layers = [
        data(rows)
        .mark_rule(strokeWidth=2, opacity=0.5)
        .encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=styled["color"]),
        data(dots)
        .mark_point(shape="circle", filled=True, size=26, opacity=0.4, strokeWidth=0)
        .encode(x=x, y=y, color=styled["color"]),
        data(rows).mark_point(filled=True, size=150, opacity=1).encode(x=x, y=y, **styled),
        margin_text([_figures(level, points) for level in levels], y, color=INK),
    ]
    return finished(
        layers, describe_utility(points, withheld), height=_ROW_HEIGHT * len(levels), width=_WIDTH
    )


def _figures(level: UtilityLevel, points: Sequence[UtilityPoint]) -> dict[str, Any]:
    place = level.mode, level.study, level.epsilon
    own = [p for p in points if (p.mode, p.study, p.epsilon) == place]
    (found,) = reached(own)
    interval = range_text(found.value)
    said = f"{level.mean:.3f}" + (f"  ({interval})" if interval else "")
    if level.mode in (POOLED, NONE) and not level.is_reference:
        said = f"{level.mean:.3f}: {NO_BETTER}"
    return {"row": level_text(level), "text": said}


def modes_against_epsilon(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()
) -> Chart:
    """Draws a line through each mode's means and a band over the range of its runs.

    Line and band join released means only where ``privacy_utility.supports_line`` says so.

    What was trained without privacy has no epsilon to stand above: a line
    across, named in the margin.
    """
    figure, levels = figure_of(points), utility_levels(points)
    private = [level for level in levels if level.epsilon is not None]
    epsilons = sorted({level.epsilon for level in private if level.epsilon is not None})
    domain = domain_of(figure, [point.value for point in points])
    title = f"{axis_title(figure)}, {levels[0].kind}"
    x = (
        alt.X("epsilon:Q", title="ε for one patient (log scale: left is more private)")
        .scale(type="log", domain=log_domain(epsilons), nice=False)
        .axis(values=epsilons, format="~g", grid=False)
    )
    y = alt.Y("value:Q", title=title).scale(domain=domain, zero=False, nice=False)
    y = y.axis(format=tick_format(figure))
    shown = studies_in([point for point in points if point.epsilon is not None])
    rows: Rows = [
        _level_row(level)
        | {"epsilon": _beside(level.epsilon, _own(level), shown), "what": _name(_own(level))}
        for level in private
        if level.epsilon is not None
    ]
    runs: Rows = [
        {
            "epsilon": _beside(point.epsilon, _own(point), shown),
            "value": point.value,
            "what": _name(_own(point)),
        }
        for point in points
        if point.epsilon is not None
    ]
    colour, shape = _colour(shown), _shape(shown)
    joined = {_name(one) for one in shown if supports_line([p for p in points if _own(p) == one])}
    layers = [
        data([row for row in rows if row["what"] in joined])
        .mark_area(opacity=0.13)
        .encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q", color=colour),
        *(
            data([row for row in rows if row["what"] == _name(one)])
            .mark_line(strokeWidth=2.5, strokeDash=_of_study(one, shown, _DASHES, _MORE_DASHES))
            .encode(x=x, y=y, color=colour)
            for one in shown
            if _name(one) in joined
        ),
        data(runs)
        .mark_point(filled=True, size=22, opacity=0.45)
        .encode(x=x, y=y, color=colour, shape=shape),
        data(rows)
        .mark_point(filled=True, size=95, opacity=1)
        .encode(x=x, y=y, color=colour, shape=shape),
        *_without_privacy([level for level in levels if level.epsilon is None], y, domain),
    ]
    width = WIDTH if len(private) == len(levels) else _WIDTH
    return finished(layers, describe_utility(points, withheld), height=_HEIGHT, width=width)


def log_domain(epsilons: list[float]) -> list[float]:
    """Returns the ends of a logarithmic axis with some room around these values."""
    return [epsilons[0] / 1.6, epsilons[-1] * 1.6] if epsilons else [0.4, 10]


def _level_row(level: UtilityLevel) -> dict[str, Any]:
    return {"value": level.mean, "low": level.low, "high": level.high, "what": MODES[level.mode]}


def _own(one: UtilityPoint | UtilityLevel) -> Shown:
    return one.mode, one.study


def _name(one: Shown) -> str:
    """Returns what the legend calls a mode, or a study of it."""
    return ", ".join(filter(None, (MODES[one[0]], one[1])))


def _of_study(
    one: Shown, shown: Sequence[Shown], first: Mapping[str, Style], more: Sequence[Style]
) -> Style:
    """Returns the style of a mode's first study, or one that tells a further study from it."""
    place = [own for own in shown if own[0] == one[0]].index(one)
    return first[one[0]] if not place else more[(place - 1) % len(more)]


def _beside(epsilon: float, one: Shown, shown: Sequence[Shown]) -> float:
    """Returns where a mode stands, so that no mode hides another at the same epsilon."""
    return epsilon * math.pow(_BESIDE, shown.index(one) - (len(shown) - 1) / 2)


def _without_privacy(
    levels: Sequence[UtilityLevel], y: alt.Y, domain: Sequence[float]
) -> list[alt.Chart]:
    """Returns lines across and their names in the margin, none on top of another."""
    layers = []
    for level, height in zip(levels, _apart([level.mean for level in levels], domain), strict=True):
        colour = _COLOURS[level.mode]
        line = data([{"value": level.mean}] if level.is_reference else []).mark_rule(
            strokeDash=_DASHES[POOLED] if level.mode == POOLED else [6, 4],
            strokeWidth=1.5,
            color=colour,
        )
        said = f"{level.mean:.3f}" if level.is_reference else NO_BETTER
        words = f"{level_text(level)}: {said}".replace(", ", ",\n")
        text = margin_text(
            [{"value": height, "text": words}], y, color=INK, lineBreak="\n", baseline="middle"
        )
        layers += [line.encode(y=y), text]
    return layers


def _apart(heights: Sequence[float], domain: Sequence[float]) -> list[float]:
    """Returns where labels stand: each at its height, or just below the one above it."""
    least = _LABEL_HEIGHT / _HEIGHT * (domain[1] - domain[0])
    placed: dict[int, float] = {}
    below = float("inf")
    for place in sorted(range(len(heights)), key=lambda place: -heights[place]):
        placed[place] = below = min(heights[place], below - least)
    return [placed[place] for place in range(len(heights))]


def _colour(shown: Sequence[Shown] = _ALL) -> alt.Color:
    """Returns the colours of modes: a mode's studies have one, and differ in their shapes."""
    scale = alt.Scale(domain=list(map(_name, shown)), range=[_COLOURS[mode] for mode, _ in shown])
    colour = alt.Color("what:N", title=None, scale=scale)
    return colour.legend(LONG_NAMES) if any(study for _, study in shown) else colour


def _shape(shown: Sequence[Shown] = _ALL) -> alt.Shape:
    shapes = [_of_study(one, shown, _SHAPES, _MORE_SHAPES) for one in shown]
    scale = alt.Scale(domain=list(map(_name, shown)), range=shapes)
    shape = alt.Shape("what:N", title=None, scale=scale)
    return shape.legend(LONG_NAMES) if any(study for _, study in shown) else shape
