"""Charts: each with its table, its pictures and numbers to take away, and what it is.

Rules:

1. Every chart of every page is drawn by ``show_chart``.
2. A chart is as high as it says itself: more rounds or runs make it no higher.
3. Its colours follow the page's theme; what is downloaded has those of paper.
"""

import hashlib
import re
from collections.abc import Callable
from functools import partial
from typing import Literal

import streamlit as st

from compliance.charts.theme import Chart, Scheme, page_document, to_png, to_svg
from compliance.reports.document import Table
from compliance.reports.renderers import wide_csv
from compliance.reports.several_runs.baseline_parts import Drawing
from dashboard.rows import words
from dashboard.texts import say

#: Pixels that axes, legend and margins need beside what is drawn; the least height of a chart.
_AROUND, _LEAST = 120, 260
_MIME = {"png": "image/png", "svg": "image/svg+xml", "csv": "text/csv"}


def show_chart(
    chart: Chart,
    table: Table,
    *,
    about: str,
    width: Literal["stretch", "content"] = "stretch",
) -> None:
    """Shows a chart, what it is, the numbers behind it, and its downloads.

    Args:
        chart: in the colours of paper.
        table: the numbers behind it.
        about: the key of the two sentences that say what it is, in the table ``charts`` of texts.
        width: that of its place, or its own.
    """
    document = page_document(chart, page_scheme())
    name = f"{_file_name(table.title)}-{_own(chart, table)}"
    if width == "stretch":
        document["height"] = max(_LEAST, document["height"] + _AROUND)
    st.vega_lite_chart(document, theme=None, width=width)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover(say("charts.what"), icon=":material/help:"):
            st.markdown(say(f"charts.{about}"))
        for form, made in _downloads(chart, table).items():
            st.download_button(
                form.upper(),
                data=made,
                file_name=f"{_file_name(table.title)}.{form}",
                mime=_MIME[form],
                key=f"{name}-{form}",
                help=say(f"charts.download_{form}"),
                on_click="ignore",
                type="tertiary",
            )
    with st.expander(say("charts.numbers")):
        st.dataframe(words.readable(table), hide_index=True, width="stretch")


def show_drawing(drawn: Drawing, width: Literal["stretch", "content"], *, about: str) -> None:
    """Shows a drawing under its title, with its caption and its table behind it."""
    st.subheader(words.plain(drawn.title))
    show_chart(drawn.chart, drawn.table, about=about, width=width)
    st.caption(words.plain(drawn.caption))


def page_scheme() -> Scheme:
    """Returns the scheme of colours of the page as it is looked at."""
    return "dark" if st.context.theme.type == "dark" else "light"


def _downloads(chart: Chart, table: Table) -> dict[str, Callable[[], bytes | str]]:
    """Returns what makes each file, when it is asked for."""
    return {
        "png": partial(to_png, chart),
        "svg": partial(to_svg, chart),
        "csv": partial(wide_csv, table),
    }


def _file_name(title: str) -> str:
    """Returns a title as a file is named.

    >>> _file_name("Utility against epsilon")
    'utility-against-epsilon'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "chart"


def _own(chart: Chart, table: Table) -> str:
    """Returns what tells a chart from the others of its page."""
    said = f"{chart.description}\n{table.title}\n{table.rows}"
    return hashlib.sha256(said.encode()).hexdigest()[:8]
