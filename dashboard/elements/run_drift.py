"""Drift beside one run: its calendar as it stood with it."""

import streamlit as st

from compliance.facts.drift_calendar import DriftCalendar
from compliance.reports.several_runs import drift_page
from dashboard.elements.pieces import show_statement, show_table
from dashboard.rows import words
from dashboard.texts import say


def show_run_drift(calendar: DriftCalendar) -> None:
    """Shows a calendar beside one of its runs, as it stood with it."""
    st.subheader(say("navigation.drift"))
    st.markdown(words.plain(calendar.sentence))
    for statement in drift_page.banner(calendar):
        show_statement(statement)
    if calendar.flagged:
        show_table(drift_page.flags_table(calendar))
