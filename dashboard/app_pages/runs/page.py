"""Choice of what of the runs is shown, as the address says."""

import streamlit as st

from dashboard.app_pages.runs.beside import show_beside
from dashboard.app_pages.runs.overview import show_overview
from dashboard.app_pages.runs.run import show_run
from dashboard.page import Page
from dashboard.texts import say

#: So many runs are compared at most: more would not fit beside each other.
MOST_COMPARED = 8


def show(page: Page) -> None:
    """Shows the run or the comparison that the address names, else the table of all runs."""
    one, several = st.query_params.get("run", ""), st.query_params.get("compare", "")
    named = [name for name in several.split(",") if name][:MOST_COMPARED]
    if (one or named) and st.button(say("runs.all"), icon=":material/arrow_back:"):
        st.query_params.clear()
        st.rerun()
    if one:
        show_run(page, one)
    elif named:
        show_beside(page, named)
    else:
        show_overview(page)
