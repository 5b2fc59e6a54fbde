"""Pieces that every page is made of: statements, metrics, tables, downloads."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from compliance.reports.document import Document, Statement, Table, Tone
from compliance.reports.renderers import render_csv, render_html, render_json
from dashboard.rows import words
from dashboard.texts import say

_FORMATS = {
    "html": (render_html, "text/html"),
    "json": (render_json, "application/json"),
    "csv": (render_csv, "text/csv"),
}
_BOXES = {Tone.GOOD: st.success, Tone.PLAIN: st.info, Tone.CAUTION: st.warning, Tone.BAD: st.error}


def show_statement(statement: Statement) -> None:
    """Shows a statement in the colour of its tone."""
    detail = f" {words.plain(statement.detail)}" if statement.detail else ""
    _BOXES[statement.tone](f"**{words.plain(statement.text)}**{detail}")


def show_metrics(items: Sequence[tuple[str, str, str]]) -> None:
    """Shows labels, values and notes side by side."""
    for column, (label, value, note) in zip(st.columns(len(items)), items, strict=True):
        column.metric(words.plain(label), words.plain(value))
        column.caption(words.plain(note))


def show_rows(table: Table) -> None:
    """Shows the rows of a table."""
    st.dataframe(words.readable(table), hide_index=True, width="stretch")


def show_lines(rows: Sequence[dict[str, str]]) -> None:
    """Shows texts in lines as many as they need, where a grid would cut them."""
    table = pd.DataFrame(rows).map(words.plain)
    st.table(table.set_index(table.columns[0]))


def show_table(table: Table) -> None:
    """Shows a table under its title, with its note."""
    st.subheader(words.plain(table.title))
    show_rows(table)
    if table.note:
        st.caption(words.plain(table.note))


def show_small_table(table: Table) -> None:
    """Shows a table of a few rows under its title, in cells as high as their texts need."""
    st.subheader(words.plain(table.title))
    show_lines(words.readable(table))
    if table.note:
        st.caption(words.plain(table.note))


def show_downloads(title: str, name: str, document: Callable[[], Document]) -> None:
    """Shows a button for each form of a document, which is made when it is asked for."""
    st.subheader(words.plain(title))
    for column, (form, (render, mime)) in zip(
        st.columns(len(_FORMATS)), _FORMATS.items(), strict=True
    ):
        column.download_button(
            say("reports.download_as", form=form.upper()),
            data=partial(_rendered, document, render),
            file_name=f"{name}.{form}",
            mime=mime,
            on_click="ignore",
            width="stretch",
        )


def _rendered(document: Callable[[], Document], render: Callable[[Document], str]) -> bytes:
    return render(document()).encode()
