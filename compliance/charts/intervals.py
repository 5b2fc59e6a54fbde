"""The chart of a few figures with their intervals, one below the other."""

from collections.abc import Sequence

import altair as alt

from compliance.charts.theme import (
    BLUE,
    ROW_HEIGHT,
    Chart,
    Rows,
    data,
    domain_of,
    finished,
    margin_text,
    tick_format,
)
from compliance.estimates.interval import Interval
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import show


def describe_intervals(rows: Sequence[tuple[str, Interval]], figure: FigureKind) -> str:
    """Says in words what ``interval_rows`` draws."""
    said = "; ".join(f"{name}: {show(found, figure.form)}" for name, found in rows)
    return f"{figure.label} with 95 % intervals. {said}."


def interval_rows(rows: Sequence[tuple[str, Interval]], figure: FigureKind) -> Chart:
    """Draws a figure of each name, in the order given; one that is not known says why.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("intervals need at least one row")
    known: Rows = [
        {"name": name, "value": found.value, "low": found.low, "high": found.high}
        for name, found in rows
        if found.value is not None
    ]
    names = [name for name, _ in rows]
    axis = alt.Axis(labelFontSize=13, ticks=False, domain=False, labelLimit=220)
    y = alt.Y("name:N", title=None, sort=names, scale=alt.Scale(domain=names), axis=axis)
    values = [row[key] for row in known for key in ("low", "value", "high")]
    x = (
        alt.X("value:Q", title=figure.title)
        .scale(domain=domain_of(figure, values), zero=False, nice=False)
        .axis(format=tick_format(figure))
    )
    rules = data(known).mark_rule(strokeWidth=3, strokeCap="round", opacity=0.55, color=BLUE)
    marks = data(known).mark_point(filled=True, size=110, opacity=1, color=BLUE)
    texts: Rows = [{"name": name, "text": show(found, figure.form)} for name, found in rows]
    layers = [
        rules.encode(x=x, x2="high:Q", y=y).transform_calculate(value="datum.low"),
        marks.encode(x=x, y=y),
        margin_text(texts, y),
    ]
    return finished(layers, describe_intervals(rows, figure), height=ROW_HEIGHT * len(rows))
