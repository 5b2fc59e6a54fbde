"""The charts of operating points: shares by threshold, and the net benefit of acting on them."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from compliance.charts.theme import (
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    Chart,
    Rows,
    data,
    finished,
)
from compliance.estimates.binned_scores.operating_points import OperatingPoint
from compliance.estimates.interval import Interval
from compliance.facts.formatting import Format, show

_HEIGHT = 190
#: The shares at one threshold stand so many pixels apart, or they would hide each other.
_APART = 8
#: The drawn shares, by the name that stands in the legend.
_SHARES = {
    "sensitivity": ("sensitivity", BLUE, "circle"),
    "specificity": ("specificity", GREEN, "square"),
    "PPV": ("ppv", VERMILLION, "diamond"),
}
_MODEL, _EVERYBODY, _NOBODY = "the model", "calling everybody ill", "calling nobody ill"


def describe_shares_by_threshold(points: Sequence[OperatingPoint]) -> str:
    """Says in words what ``shares_by_threshold`` draws."""
    said = [
        f"risk {point.risk:.3f}: "
        + ", ".join(
            f"{title} {show(getattr(point, name), Format.RATIO)}"
            for title, (name, _, _) in _SHARES.items()
        )
        for point in points
    ]
    return f"Shares at each threshold, with 95 % intervals. {'; '.join(said)}."


def shares_by_threshold(points: Sequence[OperatingPoint]) -> Chart:
    """Draws sensitivity, specificity and PPV at each threshold, with their intervals.

    No line joins them: it would go through noise. They stand beside each other at a threshold.

    Raises:
        ValueError: no figure is known at any threshold.
    """
    rows: Rows = [
        _row(point, title, getattr(point, name))
        for title, (name, _, _) in _SHARES.items()
        for point in points
        if getattr(point, name).value is not None
    ]
    if not rows:
        raise ValueError("no share is known at any threshold")
    names = list(_SHARES)
    colours = alt.Scale(domain=names, range=[colour for _, colour, _ in _SHARES.values()])
    shapes = alt.Scale(domain=names, range=[shape for _, _, shape in _SHARES.values()])
    y = alt.Y("value:Q", title="share").scale(domain=[0, 1])
    colour = alt.Color("what:N", title=None, scale=colours)
    shape = alt.Shape("what:N", title=None, scale=shapes)
    layers = [
        layer
        for place, name in enumerate(names)
        for layer in _beside(
            [row for row in rows if row["what"] == name],
            (place - (len(names) - 1) / 2) * _APART,
            y, colour, shape,
        )
    ]  # fmt: skip
    return finished(layers, describe_shares_by_threshold(points), height=_HEIGHT)


def _beside(
    rows: Rows, shift: float, y: alt.Y, colour: alt.Color, shape: alt.Shape
) -> list[alt.Chart]:
    """Returns the intervals and the marks of one share, so many pixels beside its threshold."""
    bands = data(rows).mark_rule(strokeWidth=3, opacity=0.35, strokeCap="round", xOffset=shift)
    marks = data(rows).mark_point(filled=True, size=60, opacity=1, xOffset=shift)
    return [
        bands.encode(x=_threshold(), y="low:Q", y2="high:Q", color=colour),
        marks.encode(x=_threshold(), y=y, color=colour, shape=shape),
    ]


def describe_net_benefit(points: Sequence[OperatingPoint]) -> str:
    """Says in words what ``net_benefit_by_threshold`` draws."""
    said = [
        f"risk {point.risk:.3f}: {_MODEL} {show(point.net_benefit, Format.RATIO)}, "
        f"{_EVERYBODY} {show(point.treat_all, Format.RATIO)}"
        for point in points
    ]
    return (
        "Net benefit at each threshold, in parts of all patients, with 95 % intervals; "
        f"{_NOBODY} has none. {'; '.join(said)}."
    )


def net_benefit_by_threshold(points: Sequence[OperatingPoint]) -> Chart:
    """Draws the net benefit of the model at each threshold beside that of calling everybody ill.

    The model's is drawn as marks with intervals. That of calling everybody ill is a line, for it
    follows at all thresholds from one number, the share of the ill.

    The axis begins a little below zero: what lies further down is worse than doing nothing, and
    how much worse is told in words.

    Raises:
        ValueError: no figure is known at any threshold.
    """
    known = [point for point in points if point.net_benefit.value is not None]
    if not known:
        raise ValueError("no net benefit is known at any threshold")
    model = [_row(point, _MODEL, point.net_benefit) for point in known]
    others = [_row(p, _EVERYBODY, p.treat_all) for p in known if p.treat_all.value is not None]
    nobody: Rows = [{"risk": p.risk, "what": _NOBODY, "value": 0.0} for p in known]
    names = [_MODEL, _EVERYBODY, _NOBODY]
    colour = alt.Color("what:N", title=None).scale(domain=names, range=[BLUE, VERMILLION, GREY])
    # Of the same domain as the colours, so that all have one legend, which tells the lines apart.
    dash = alt.StrokeDash("what:N", title=None).scale(domain=names, range=[[1, 0], [6, 3], [2, 2]])
    shape = alt.Shape("what:N", title=None)
    shape = shape.scale(domain=names, range=["circle", "stroke", "stroke"])
    shape = shape.legend(symbolSize=200, symbolStrokeWidth=2)
    top = max(row["high"] for row in model)
    y = alt.Y("value:Q", title="net benefit").scale(domain=[-max(top, 0.01) / 4, top])
    bands = data(model).mark_rule(strokeWidth=3, opacity=0.35, strokeCap="round", clip=True)
    lines = data([*others, *nobody]).mark_line(strokeWidth=2, clip=True)
    marks = data(model).mark_point(filled=True, size=60, opacity=1, clip=True)
    layers = [
        bands.encode(x=_threshold(), y="low:Q", y2="high:Q", color=colour),
        lines.encode(x=_threshold(), y=y, color=colour, strokeDash=dash),
        marks.encode(x=_threshold(), y=y, color=colour, shape=shape),
    ]
    return finished(layers, describe_net_benefit(points), height=_HEIGHT)


def _threshold() -> alt.X:
    x = alt.X("risk:Q", title="risk from which a patient is called ill").scale(zero=False)
    return x.axis(format=".3~f", labelFlush=False, labelOverlap="greedy", labelSeparation=8)


def _row(point: OperatingPoint, what: str, found: Interval) -> dict[str, Any]:
    return {
        "risk": point.risk, "what": what, "value": found.value, "low": found.low,
        "high": found.high,
    }  # fmt: skip
