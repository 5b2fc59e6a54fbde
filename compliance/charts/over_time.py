"""Draws a figure of several runs, in the order in which they began, with their intervals."""

from collections.abc import Sequence

import altair as alt

from compliance.charts.theme import (
    BLUE,
    GREY,
    Chart,
    Rows,
    data,
    domain_of,
    finished,
    tick_format,
)
from compliance.estimates.interval import Interval
from compliance.estimates.trend import Trend
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import show

_HEIGHT = 140


def describe_over_time(title: str, found: Sequence[Interval], figure: FigureKind) -> str:
    """Says in words what ``figure_over_time`` draws."""
    said = "; ".join(f"run {place}: {show(one, figure.form)}" for place, one in enumerate(found, 1))
    return f"{figure.label} of {title}, run by run, with 95 % intervals. {said}."


def figure_over_time(
    title: str,
    found: Sequence[Interval],
    figure: FigureKind,
    *,
    among: Sequence[float] = (),
    line: Trend | None = None,
) -> Chart:
    """Draws a figure of each run, the oldest first; a run that has none leaves its place empty.

    Args:
        title: of whom the figure is.
        found: of each run, with its interval.
        figure: of all of them.
        among: further values that the axis has to hold, so that drawings can be compared.
        line: the trend over the places of the runs, from 1; drawn only where it is shown.

    Raises:
        ValueError: there is no run.
    """
    if not found:
        raise ValueError("a figure over time needs at least one run")
    rows: Rows = [
        {"run": place, "value": one.value, "low": one.low, "high": one.high}
        for place, one in enumerate(found, start=1)
        if one.value is not None
    ]
    values = [row[key] for row in rows for key in ("low", "value", "high") if row[key] is not None]
    x = (
        alt.X("run:Q", title="run, the oldest first")
        .scale(domain=[0.5, len(found) + 0.5], nice=False)
        .axis(tickMinStep=1, format="d", grid=False)
    )
    y = (
        alt.Y("value:Q", title=figure.title)
        .scale(domain=domain_of(figure, [*values, *among]), zero=False, nice=False)
        .axis(format=tick_format(figure), tickCount=4)
    )
    ends: Rows = []
    if line is not None and line.is_shown:
        ends = [{"run": place, "value": height} for place, height in (line.begin, line.end)]
    layers = [
        data(ends).mark_line(color=GREY, strokeDash=[6, 4], strokeWidth=1.5).encode(x=x, y=y),
        data([row for row in rows if row["low"] is not None])
        .mark_rule(strokeWidth=3, strokeCap="round", opacity=0.55, color=BLUE)
        .encode(x=x, y=alt.Y("low:Q", title=figure.title), y2="high:Q"),
        data(rows).mark_point(filled=True, size=80, opacity=1, color=BLUE).encode(x=x, y=y),
    ]
    return finished(layers, describe_over_time(title, found, figure), height=_HEIGHT)
