"""Counts of a run that trains no model: its columns, and the shares of one of them."""

import streamlit as st

from compliance.charts.counted.columns import column_shares
from compliance.facts.dossier import Dossier
from compliance.reports import run_tables
from compliance.reports.sections import columns
from dashboard.elements.charts import show_chart
from dashboard.elements.pieces import show_rows
from dashboard.rows import words
from dashboard.texts import say


def show_columns(dossier: Dossier) -> None:
    """Shows what a statistics study counted, column by column."""
    st.subheader(say("runs.columns"))
    if not dossier.columns:
        st.info(say("runs.no_counts"))
        return
    table = columns.columns_table(dossier)
    show_rows(table)
    st.caption(words.plain(table.note))
    patients = run_tables.sites_table(dossier)
    show_rows(patients)


def show_shares(dossier: Dossier) -> None:
    """Shows the shares of one column, which is chosen."""
    st.subheader(say("runs.shares"))
    drawn = {c.name: (c, exact) for c, exact in columns.counted(dossier) if c.parts}
    if not drawn:
        st.info(say("runs.no_shares"))
        return
    column, exact = drawn[st.selectbox(say("runs.column"), list(drawn))]
    show_chart(column_shares(column, exact), columns.shares_table(column, exact), about="shares")
