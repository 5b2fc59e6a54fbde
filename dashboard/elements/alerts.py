"""Alerts: all that are open, and those about one run."""

from collections.abc import Sequence

import streamlit as st

from coordinator.views.alerts import Alert
from dashboard.elements.pieces import show_lines
from dashboard.rows import words
from dashboard.rows.alerts import alert_rows, alerts_caption


def show_open_alerts(alerts: Sequence[Alert]) -> None:
    """Shows all open alerts; nothing where there are none."""
    if not alerts:
        return
    st.subheader("Open alerts")
    rows = [{k: v for k, v in row.items() if k != "Ended"} for row in alert_rows(alerts)]
    show_lines(rows)
    st.caption(words.plain(alerts_caption(alerts)))


def show_run_alerts(alerts: Sequence[Alert]) -> None:
    """Shows the alerts about one run, the closed ones too; nothing where there are none."""
    if not alerts:
        return
    st.subheader("Alerts about this run")
    show_lines(alert_rows(alerts))
