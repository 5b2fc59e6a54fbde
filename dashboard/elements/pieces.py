"""Pieces that every part of the page is made of: statements, metrics, tables, charts, downloads."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import pandas as pd
import streamlit as st

from compliance.charts import run as charts
from compliance.reports.document import Document, Statement, Table, Tone
from compliance.reports.renderers import render_csv, render_html, render_json
from compliance.reports.several_runs import baseline_parts
from dashboard.rows import words

_FORMATS = {
    "html": (render_html, "text/html"),
    "json": (render_json, "application/json"),
    "csv": (render_csv, "text/csv"),
}
_BOXES = {Tone.GOOD: st.success, Tone.PLAIN: st.info, Tone.CAUTION: st.warning, Tone.BAD: st.error}
_CHART_HEIGHT, _ROW_HEIGHT = 330, 30  # pixels, axes and legend included
#: The height of a chart beside others, in pixels.
LOW_CHART = 200


def show_statement(statement: Statement) -> None:
    """Shows a statement in the colour of its tone."""
    detail = f" {words.plain(statement.detail)}" if statement.detail else ""
    _BOXES[statement.tone](f"**{words.plain(statement.text)}**{detail}")


def show_metrics(items: Sequence[tuple[str, str, str]]) -> None:
    """Shows labels, values and notes side by side."""
    for column, (label, value, note) in zip(st.columns(len(items)), items, strict=True):
        column.metric(label, value)
        column.caption(note)


def show_rows(table: Table) -> None:
    """Shows the rows of a table."""
    st.dataframe(words.readable(table), hide_index=True, width="stretch")


def show_lines(rows: Sequence[dict[str, str]]) -> None:
    """Shows texts in lines as many as they need, where a grid would cut them."""
    table = pd.DataFrame(rows).map(words.plain)
    st.table(table.set_index(table.columns[0]))


def show_table(table: Table) -> None:
    """Shows a table under its title, with its note."""
    st.subheader(table.title)
    show_rows(table)
    if table.note:
        st.caption(words.plain(table.note))


def show_chart(chart: charts.Chart, table: Table, height: int = _CHART_HEIGHT) -> None:
    """Shows a chart that fits its table, and the table behind it."""
    fitting = chart.properties(height=max(height, _ROW_HEIGHT * len(table.rows)))
    st.altair_chart(fitting, theme=None, width="stretch")
    with st.expander("The numbers behind this chart"):
        show_rows(table)


def show_drawing(drawn: baseline_parts.Drawing, width: Literal["stretch", "content"]) -> None:
    """Shows a drawing under its title, with its caption and its table behind it."""
    st.subheader(drawn.title)
    st.altair_chart(drawn.chart, theme=None, width=width)
    st.caption(words.plain(drawn.caption))
    with st.expander("The numbers behind this chart"):
        show_rows(drawn.table)


def show_downloads(title: str, name: str, document: Callable[[], Document]) -> None:
    """Shows a button for each form of a document, which is made when it is asked for."""
    st.subheader(title)
    for column, (form, (render, mime)) in zip(
        st.columns(len(_FORMATS)), _FORMATS.items(), strict=True
    ):
        column.download_button(
            f"Download as {form.upper()}",
            data=partial(_rendered, document, render),
            file_name=f"{name}.{form}",
            mime=mime,
            on_click="ignore",
            width="stretch",
        )


def _rendered(document: Callable[[], Document], render: Callable[[Document], str]) -> bytes:
    return render(document()).encode()
