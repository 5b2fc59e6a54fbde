"""Charts of figures with their intervals, one below the other."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import altair as alt

from compliance.charts.theme import (
    BLUE,
    GREY,
    INK,
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

#: A group's name, and its figures by what each is of.
Group: TypeAlias = tuple[str, Sequence[tuple[str, Interval]]]

#: Pixels for a letter of a name in the widest usual font, and for the longest name that is shown.
_NAME_WIDTH, _MAX_ROOM = 7.6, 260
#: Of one figure among others of its group.
_LINE_HEIGHT, _GROUP_GAP = 19, 14


def describe_intervals(rows: Sequence[tuple[str, Interval]], figure: FigureKind) -> str:
    """Says in words what ``interval_rows`` draws."""
    said = "; ".join(f"{name}: {show(found, figure.form)}" for name, found in rows)
    return f"{figure.label} with 95 % intervals. {said}."


def interval_rows(
    rows: Sequence[tuple[str, Interval]], figure: FigureKind, *, among: Sequence[float] = ()
) -> Chart:
    """Draws a figure of each name, in the order given; one that is not known says why.

    Args:
        rows: names, and the figure of each.
        figure: of all of them.
        among: further values that the axis has to hold, so that two drawings can be compared.

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
    room = min(_NAME_WIDTH * max(map(len, names)), _MAX_ROOM)
    axis = alt.Axis(
        labelFontSize=13, ticks=False, domain=False, labelLimit=220, minExtent=room
    )  # fmt: skip
    y = alt.Y("name:N", title=None, sort=names, scale=alt.Scale(domain=names), axis=axis)
    values = [row[key] for row in known for key in ("low", "value", "high")]
    values += among
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


def describe_groups(groups: Sequence[Group], title: str, figure: FigureKind) -> str:
    """Says in words what ``grouped_intervals`` draws."""
    said = "; ".join(
        f"{group}: " + ", ".join(f"{name} {_told(found, figure)}" for name, found in own)
        for group, own in groups
    )
    return f"{title} with 95 % intervals. {said}."


def grouped_intervals(
    groups: Sequence[Group],
    title: str,
    figure: FigureKind,
    colours: Mapping[str, str],
    *,
    zero: bool = False,
) -> Chart:
    """Draws groups of figures, each with its interval and, on the right, its numbers.

    Args:
        groups: in the order in which they stand; a figure that is not known says why.
        title: of the axis.
        figure: what kind of figure all of them are, or are differences of.
        colours: of each name that a figure in a group has, in their order.
        zero: whether they are differences, drawn about a line at nothing.

    Raises:
        ValueError: there is no group.
    """
    if not groups:
        raise ValueError("groups of intervals need at least one")
    every: Rows = [
        {
            "group": group, "name": name, "value": found.value, "low": found.low,
            "high": found.high, "text": _told(found, figure),
        }
        for group, own in groups
        for name, found in own
    ]  # fmt: skip
    known = [row for row in every if row["value"] is not None]
    values = [row[key] for row in known for key in ("low", "value", "high") if row[key] is not None]
    room = 0.06 * (max(values, default=1.0) - min(values, default=0.0) or 1.0)
    domain = (
        [min([0.0, *values]) - room, max([0.0, *values]) + room]
        if zero
        else domain_of(figure, values)
    )
    x = (
        alt.X("value:Q", title=title)
        .scale(domain=domain, zero=False, nice=False)
        .axis(format=tick_format(figure))
    )
    names = [group for group, _ in groups]
    lines = max(len(own) for _, own in groups)
    height = _LINE_HEIGHT * lines + _GROUP_GAP
    inner = _GROUP_GAP / height
    axis = alt.Axis(labelFontSize=13, labelColor=INK, ticks=False, domain=False, labelLimit=180)
    bands = alt.Scale(domain=names, paddingInner=inner, paddingOuter=inner / 2)
    y = alt.Y("group:N", title=None, sort=names, scale=bands, axis=axis)
    offset = alt.YOffset("name:N", sort=list(colours), scale=alt.Scale(domain=list(colours)))
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    colour = alt.Color("name:N", title=None, scale=scale)
    marks = {"y": y, "yOffset": offset}
    layers = [
        *([data([{"value": 0.0}]).mark_rule(color=GREY).encode(x=x)] if zero else []),
        data([row for row in known if row["low"] is not None])
        .mark_rule(strokeWidth=3, strokeCap="round", opacity=0.55)
        .encode(x=x, x2="high:Q", color=colour, **marks)
        .transform_calculate(value="datum.low"),
        data(known).mark_point(filled=True, size=80, opacity=1).encode(x=x, color=colour, **marks),
        margin_text(every, y, baseline="middle").encode(yOffset=offset),
    ]
    words = describe_groups(groups, title, figure)
    return finished(layers, words, height=height * len(groups), width=440)


def _told(found: Interval, figure: FigureKind) -> str:
    text = show(found, figure.form)
    without = found.value is not None and found.low is None
    return f"{text}, too few for an interval" if without else text
