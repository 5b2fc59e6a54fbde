"""Today: what needs somebody, at one glance."""

import streamlit as st

from dashboard.elements.alerts import show_open_alerts
from dashboard.page import Page
from dashboard.texts import say


def show(page: Page) -> None:
    """Shows open alerts, and says where none is open."""
    if not page.views.runs():
        st.info(say("runs.none"), icon=":material/info:")
    alerts = page.views.alerts()
    if not alerts:
        st.success(say("today.no_alerts"), icon=":material/check:")
    show_open_alerts(alerts)
