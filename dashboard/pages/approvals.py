"""Approvals: incidents that are open, and changes that wait for a second person."""

import streamlit as st

from dashboard.elements.pieces import show_statement
from dashboard.elements.waiting import show_changes, show_incidents
from dashboard.page import Page
from dashboard.rows import audit
from dashboard.texts import say


def show(page: Page) -> None:
    """Shows what waits for people."""
    seen = page.views.governance()
    if (warning := audit.founding(seen)) is not None:
        show_statement(warning)
    show_incidents(seen)
    show_changes(seen)
    if not seen.changes:
        st.info(say("approvals.none"), icon=":material/info:")
