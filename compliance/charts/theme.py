"""The look of every drawing: colours, frame, scales, and the conversion to SVG.

``to_svg`` needs no network and always gives the same bytes: the font is one
that the converter carries with it.
"""

import functools
import hashlib
import html
import json
import math
import re
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import altair as alt
import vl_convert

from compliance.facts.figures import FigureKind
from compliance.facts.privacy_utility import EXACT, RELEASED

#: A finished chart, drawn by ``to_svg`` and shown by a notebook.
Chart: TypeAlias = alt.LayerChart
Rows: TypeAlias = list[dict[str, Any]]
#: The schemes of colours that a page may have.
Scheme: TypeAlias = Literal["light", "dark"]

#: Colours that stay apart for all eyes (Okabe and Ito).
BLUE, VERMILLION, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a949c"
PALE, INK, MUTED, GRID = "#dfe5ea", "#1f2a33", "#5d6b76", "#e8ecef"
PAPER = "#ffffff"
#: A scale on which numbers in ink stand on every colour.
HEAT = ("#f4f8fb", "#cfe2ef", "#7fb8da")
#: What each colour is on a dark page: again Okabe and Ito's, the sky blue for the blue.
_ON_DARK = {
    PAPER: "#0f151b", INK: "#e8edf2", MUTED: "#aeb9c4", GREY: "#8a949c", GRID: "#27313b",
    PALE: "#33404c", BLUE: "#56b4e9", VERMILLION: "#e8751a", GREEN: "#2bb98d",
    HEAT[0]: "#1b2732", HEAT[1]: "#254a63", HEAT[2]: "#2f6c95",
}  # fmt: skip
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
ROW_HEIGHT = 40

WIDTH = 600
#: Room on the right for figures, also where a browser has only a wider font.
_PADDING = {"left": 8, "top": 8, "bottom": 8, "right": 24}
_VEGA_LITE = "6.4"
_LOOK = {
    "font": FONT, "background": PAPER, "aria": False, "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED, "labelFontSize": 12, "labelPadding": 6, "tickColor": GREY,
        "titleColor": INK, "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 10,
        "gridColor": GRID, "domainColor": GREY, "tickCount": 6,
    },
    "legend": {
        "orient": "top", "direction": "horizontal", "labelColor": INK, "labelFontSize": 12,
        "titleColor": INK, "titleFontSize": 12, "symbolOpacity": 1, "offset": 14,
        "labelLimit": 280, "columnPadding": 32,
    },
}  # fmt: skip
#: Of a legend whose entries are long: a line for each.
LONG_NAMES = alt.Legend(columns=1, labelLimit=420)
#: Pixels below which a page is narrow, as a phone's, and the room that names have there.
_NARROW = 480
_ON_NARROW = {"labelLimit": 88, "minExtent": 60}
#: A name inside a drawing, where it is given and where it is used.
_NAME = re.compile(r'(\bid="|url\(#|href="#)([\w-]+)')


def to_svg(chart: Chart) -> str:
    """Returns a chart as SVG: offline, deterministic, read aloud by its description.

    Guarantee: equal charts give equal bytes. Names inside the drawing are
    numbered afresh (the converter counts on from drawing to drawing) and begin
    with its own digest, so that several drawings can stand in one page.
    """
    document = chart.to_dict(validate=False)  # test_charts does; it takes long
    svg = _renamed(_converted(json.dumps(document, sort_keys=True)))
    label = html.escape(str(document.get("description", "")), quote=True)
    return re.sub(r"^<svg ", f'<svg role="img" aria-label="{label}" ', svg, count=1)


def to_png(chart: Chart, scale: float = 2.0) -> bytes:
    """Returns a chart as PNG, with so many dots for each pixel of its size; offline."""
    document = json.dumps(chart.to_dict(validate=False), sort_keys=True)
    return bytes(
        vl_convert.vegalite_to_png(document, vl_version=_VEGA_LITE, scale=scale,
                                   allowed_base_urls=[])
    )  # fmt: skip


def page_document(chart: Chart, scheme: Scheme = "light") -> dict[str, Any]:
    """Returns a chart as Vega-Lite for a page that is shown by a browser.

    Unlike in a report a screen reader is told of it, by its description as a whole, not mark by
    mark: the table behind the chart can be read for that. On a dark page its
    colours are those that are read as well there; and on a narrow one names are cut, texts are
    smaller and a legend has a line for each entry, so that something is left for what is drawn.
    """
    document: dict[str, Any] = _for_any_width(chart.to_dict(validate=False))
    look, unread = document["config"], {"aria": False}
    legend = look["legend"] | {"columns": _narrow(1, 0)} | unread
    read = {"aria": True, "mark": unread, "axis": look["axis"] | unread, "legend": legend}
    document["config"] = look | read
    return _recoloured(document) if scheme == "dark" else document


def _narrow(then: float, otherwise: float) -> dict[str, str]:
    """Returns what Vega takes for a number that is another where the page is narrow."""
    return {"expr": f"containerSize()[0] < {_NARROW} ? {then:g} : {otherwise:g}"}


def _for_any_width(part: Any) -> Any:
    if isinstance(part, dict):
        kept = {key: part[key] for key in ("datasets", "legend") if key in part}
        drawn = {key: _for_any_width(value) for key, value in part.items() if key not in kept}
        for key, most in _ON_NARROW.items():
            if isinstance(drawn.get(key), int | float) and drawn[key] > most:
                drawn[key] = _narrow(most, drawn[key])
        if drawn.get("type") == "text" and isinstance(drawn.get("fontSize"), int | float):
            drawn["fontSize"] = _narrow(min(10, drawn["fontSize"]), drawn["fontSize"])
        return drawn | kept
    if isinstance(part, list | tuple):
        return [_for_any_width(value) for value in part]
    return part


def _recoloured(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _recoloured(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_recoloured(value) for value in part]
    return _ON_DARK.get(part, part) if isinstance(part, str) else part


@functools.lru_cache(maxsize=64)  # a page, a report and a notebook show the same charts
def _converted(document: str) -> str:
    return str(vl_convert.vegalite_to_svg(document, vl_version=_VEGA_LITE, allowed_base_urls=[]))


def _renamed(svg: str) -> str:
    places: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        return f"{match[1]}{places.setdefault(match[2], len(places))}"

    svg = _NAME.sub(numbered, svg)
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    return _NAME.sub(rf"\g<1>c{own}-\g<2>", svg)


def data(rows: Rows) -> alt.Chart:
    """Returns rows that travel inside the drawing, to be given marks."""
    return alt.Chart(alt.InlineData(values=tuple(rows)))  # Altair copies a list with each mark


def finished(
    layers: Sequence[alt.Chart], description: str, height: int, width: int = WIDTH
) -> Chart:
    """Returns layers as one chart in the house's look, with its words inside."""
    return alt.LayerChart(
        layer=list(layers), width=width, height=height, description=description, padding=_PADDING,
        config=_LOOK,
    )  # fmt: skip


def kind_colour(kinds: Sequence[str]) -> alt.Color:
    """Returns the colours of exact and released figures."""
    colours = {EXACT: VERMILLION, RELEASED: BLUE}
    scale = alt.Scale(domain=list(kinds), range=[colours[kind] for kind in kinds])
    return alt.Color("what:N", title=None, scale=scale)


def kind_shape(kinds: Sequence[str]) -> alt.Shape:
    """Returns the shapes of exact and released figures."""
    shapes = {EXACT: "diamond", RELEASED: "circle"}
    scale = alt.Scale(domain=list(kinds), range=[shapes[kind] for kind in kinds])
    return alt.Shape("what:N", title=None, scale=scale)


def margin_text(rows: Rows, y: alt.Y, **style: Any) -> alt.Chart:
    """Returns texts to the right of the frame, each at its height."""
    marks = data(rows).mark_text(align="left", dx=10, fontSize=12, **({"color": MUTED} | style))
    placed: alt.Chart = marks.encode(x=alt.XValue("width"), y=y, text="text:N")
    return placed


def axis_title(figure: FigureKind) -> str:
    """Returns the title of an axis on which a figure is drawn."""
    return f"{figure.title} of the test patients"


def tick_format(figure: FigureKind) -> str:
    """Returns how numbers stand at an axis on which a figure is drawn."""
    return ".2f" if figure.is_share else "~g"


def domain_of(figure: FigureKind, values: Sequence[float]) -> list[float]:
    """Returns the ends of an axis on which these values of a figure are drawn."""
    if figure.is_share or not values:
        return unit_domain(values)
    room = 0.08 * ((max(values) - min(values)) or abs(values[0]) or 1.0)
    low, high = min(values) - room, max(values) + room
    return [
        low if figure.low is None else max(low, figure.low),
        high if figure.high is None else min(high, figure.high),
    ]


def unit_domain(values: Sequence[float]) -> list[float]:
    """Returns a domain within [0, 1], in steps of 0.05, at least 0.1 wide, around the values."""
    if not values:
        return [0.0, 1.0]
    high = min(1.0, math.ceil((max(values) + 0.005) * 20) / 20)
    low = max(0.0, math.floor((min(values) - 0.005) * 20) / 20)
    return [max(0.0, round(min(low, high - 0.1), 2)), round(high, 2)]
