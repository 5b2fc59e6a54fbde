"""The cross-site matrix as a heat map: a figure of each model on each hospital's test patients."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import altair as alt

from compliance.charts.theme import (
    HEAT,
    INK,
    MUTED,
    PALE,
    PAPER,
    Chart,
    Rows,
    data,
    domain_of,
    finished,
)
from compliance.estimates.interval import Interval
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import show

#: A model's name, and its figure by hospital.
MatrixRow: TypeAlias = tuple[str, Sequence[tuple[str, Interval]]]

#: Of a cell, in pixels; beside more hospitals than ``_WRITTEN`` no number has room in one.
_WIDTH, _HEIGHT, _WRITTEN = 118, 46, 8
_WHOLE = 640


def describe_matrix(rows: Sequence[MatrixRow], figure: FigureKind) -> str:
    """Says in words what ``cross_site_matrix`` draws."""
    said = "; ".join(
        f"{model}: " + ", ".join(f"{site} {show(found, figure.form)}" for site, found in cells)
        for model, cells in rows
    )
    return f"{figure.label} of each model on each hospital's test patients. {said}."


def cross_site_matrix(
    rows: Sequence[MatrixRow],
    figure: FigureKind,
    *,
    framed: Sequence[tuple[str, str]] = (),
    among: Sequence[float] = (),
) -> Chart:
    """Draws a row for each model and a column for each hospital; darker is better.

    A figure that is not available leaves its cell grey.

    Args:
        rows: every model has a figure, or the reason why not, for the same hospitals.
        figure: of all of them.
        framed: pairs of model and hospital whose cells are framed.
        among: further values that the colours have to hold, so that two matrices can be compared.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("a matrix needs at least one row")
    models, sites = [model for model, _ in rows], [site for site, _ in rows[0][1]]
    written = len(sites) <= _WRITTEN
    width = min(_WIDTH, max(14, _WHOLE // len(sites)))
    cells: Rows = [
        {
            "model": model, "site": site, "value": found.value,
            "text": "not available" if found.value is None else show(found.value, figure.form),
            "range": _range(found, figure),
        }
        for model, own in rows
        for site, found in own
    ]  # fmt: skip
    known = [cell for cell in cells if cell["value"] is not None]
    domain = domain_of(figure, [*among, *(cell["value"] for cell in known)])
    colours = list(HEAT if figure.higher_is_better else reversed(HEAT))
    colour = alt.Color(
        "value:Q",
        title=figure.title,
        scale=alt.Scale(domain=domain, range=colours, interpolate="rgb"),
        legend=None if written else alt.Legend(orient="right", direction="vertical"),
    )
    x = alt.X("site:N", title="tested on the patients of", sort=sites, scale=_bands(sites))
    x = x.axis(orient="top", labelAngle=0 if written else -60, **_PLAIN)
    y = alt.Y("model:N", title=None, sort=models, scale=_bands(models)).axis(**_PLAIN)
    frames: Rows = [{"model": model, "site": site} for model, site in framed]
    layers = [
        data([cell for cell in cells if cell["value"] is None])
        .mark_rect(color=PALE, stroke=PAPER, strokeWidth=2)
        .encode(x=x, y=y),
        data(known).mark_rect(stroke=PAPER, strokeWidth=2).encode(x=x, y=y, color=colour),
        data(frames).mark_rect(filled=False, stroke=INK, strokeWidth=2).encode(x=x, y=y),
    ]
    if written:
        main = data(cells).mark_text(fontSize=13, color=INK, dy=-7)
        below = data(cells).mark_text(fontSize=10.5, color=INK, dy=9)
        layers += [main.encode(x=x, y=y, text="text:N"), below.encode(x=x, y=y, text="range:N")]
    height = _HEIGHT if written else max(14, min(_HEIGHT, width))
    return finished(
        layers, describe_matrix(rows, figure), height=height * len(rows), width=width * len(sites)
    )


_PLAIN: dict[str, Any] = {
    "ticks": False, "domain": False, "labelFontSize": 13, "labelColor": INK, "labelLimit": 220,
    "titleColor": MUTED,
}  # fmt: skip


def _bands(names: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), paddingInner=0.0, paddingOuter=0.0)


def _range(found: Interval, figure: FigureKind) -> str:
    if found.value is None:
        return ""
    if found.low is None or found.high is None:
        return "too few to say more"
    return f"{show(found.low, figure.form)} to {show(found.high, figure.form)}"
