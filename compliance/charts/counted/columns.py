"""The chart of a counted column: the share of each bin or category, with 95 % intervals."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from compliance.charts.theme import (
    BLUE,
    INK,
    ROW_HEIGHT,
    VERMILLION,
    Chart,
    Rows,
    data,
    finished,
    margin_text,
)
from compliance.estimates.column_figures import ColumnFigures
from compliance.facts.formatting import Format, show

#: A histogram's bars stand closer than those of categories.
_BIN_HEIGHT = 26


def describe_shares(column: ColumnFigures, exact: Mapping[str, Any] | None = None) -> str:
    """Says in words what ``column_shares`` draws."""
    own = exact["parts"] if exact else [None] * len(column.parts)
    said = [
        f"{part}: {show(share, Format.RATIO)}"
        + (f", exact {found:.3f} (simulation only)" if found is not None else "")
        for part, share, found in zip(column.parts, column.shares, own, strict=True)
    ]
    return f"Shares of the patients with a value of {column.name}. {'; '.join(said)}."


def column_shares(column: ColumnFigures, exact: Mapping[str, Any] | None = None) -> Chart:
    """Draws the share of patients in each bin of a histogram, or of each category.

    A share that was withheld keeps its row, with the reason; a simulation's exact one is a tick.

    Raises:
        ValueError: the column has no bins and no categories.
    """
    if not column.parts:
        raise ValueError(f"column {column.name} has nothing to draw")
    shown = [(part, share) for part, share in zip(column.parts, column.shares, strict=True)]
    rows: Rows = [
        {"part": part, "value": share.value, "low": share.low, "high": share.high}
        for part, share in shown
        if share.value is not None
    ]
    ticks: Rows = [
        {"part": part, "value": share}
        for part, share in zip(column.parts, (exact or {}).get("parts", ()), strict=False)
        if share is not None
    ]
    absent: Rows = [
        {"part": part, "text": share.note} for part, share in shown if share.value is None
    ]
    axis = alt.Axis(labelFontSize=12, labelColor=INK, ticks=False, domain=False, labelLimit=180)
    names = list(column.parts)
    y = alt.Y("part:N", title=None, sort=names, scale=alt.Scale(domain=names), axis=axis)
    x = alt.X("value:Q", title="share of the patients with a value").axis(format=".0%")
    x = x.scale(domainMin=0)
    layers = [
        data(rows).mark_bar(color=BLUE, opacity=0.35, cornerRadiusEnd=2).encode(x=x, y=y),
        data(rows)
        .mark_rule(color=BLUE, strokeWidth=3, strokeCap="round")
        .encode(x=alt.X("low:Q"), x2="high:Q", y=y),
        data(ticks).mark_tick(color=VERMILLION, thickness=3).encode(x=x, y=y),
        margin_text(absent, y, color=INK, fontStyle="italic"),
    ]
    height = (ROW_HEIGHT if column.range is None else _BIN_HEIGHT) * len(names)
    return finished(layers, describe_shares(column, exact), height=height)
