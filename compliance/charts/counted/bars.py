"""Draws counts: bars side by side or one below the other, with words where a count is not shown.

A count that is not shown has no bar: neither its length nor its place tells anything.
"""

from collections.abc import Sequence
from typing import TypeAlias

import altair as alt

from compliance.charts.theme import BLUE, INK, MUTED, PAPER, Chart, Rows, data, finished

#: A number, or why there is none.
Count: TypeAlias = int | str
_ROW = 24
_HISTOGRAM = 90


def count_bars(rows: Sequence[tuple[str, Count]], description: str, axis: str) -> Chart:
    """Draws a bar for each name, in the order given, with its count beside it.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not rows:
        raise ValueError("bars need at least one count")
    drawn: Rows = [
        {"name": name, "count": count if isinstance(count, int) else 0, "text": str(count)}
        for name, count in rows
    ]
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=220, ticks=False))
    x = alt.X("count:Q", title=axis, axis=alt.Axis(tickMinStep=1))
    bars = data(drawn).mark_bar(color=BLUE, height=14).encode(x=x, y=y)
    words = data(drawn).mark_text(align="left", dx=6, color=INK, fontSize=12)
    return finished([bars, words.encode(x=x, y=y, text="text:N")], description, _ROW * len(drawn))


def histogram_bars(
    low: float, high: float, counts: Sequence[Count], description: str, axis: str
) -> Chart:
    """Draws counts of equal bins from ``low`` to ``high``; a bin that is not shown says so."""
    width = (high - low) / len(counts)
    edges = [low + width * place for place in range(len(counts) + 1)]
    drawn: Rows = [
        {
            "from": first,
            "to": last,
            "zero": 0,
            "middle": (first + last) / 2,
            "count": count if isinstance(count, int) else 0,
            "text": "" if isinstance(count, int) else _mark(count),
        }
        for first, last, count in zip(edges, edges[1:], counts, strict=False)
    ]
    scale = alt.Scale(domain=[low, high], nice=False)
    x = alt.X("from:Q", title=axis, scale=scale, axis=alt.Axis(grid=False, tickCount=5))
    y = alt.Y("count:Q", title=None, axis=alt.Axis(tickMinStep=1, tickCount=4))
    bars = data(drawn).mark_rect(color=BLUE, stroke=PAPER)
    bars = bars.encode(x=x, x2="to:Q", y=y, y2="zero:Q")
    words = data(drawn).mark_text(dy=-7, color=MUTED, fontSize=11)
    words = words.encode(x=alt.X("middle:Q", scale=scale), y=y, text="text:N")
    return finished([bars, words], description, _HISTOGRAM)


def _mark(word: str) -> str:
    return "<10" if word.startswith("fewer") else "*"
