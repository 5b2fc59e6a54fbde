"""Matters that wait for people: incidents that are open, and changes that need a second person."""

import streamlit as st

from compliance.governance.incidents.course import IncidentState
from compliance.storage.clock import utc_now
from coordinator.views.governance import GovernanceView
from dashboard.elements.pieces import show_lines
from dashboard.rows import audit


def show_incidents(seen: GovernanceView) -> None:
    """Shows the incidents that are not closed, with their clocks; nothing where there are none."""
    found = [one for one in seen.incidents if one.incident.state is not IncidentState.CLOSED]
    if not found:
        return
    now = utc_now()
    st.subheader("Open incidents")
    if audit.is_late(found, now):
        st.error(
            "**A notification is late.** Record it now, with why: collegium incident notify.",
            icon=":material/alarm:",
        )
    show_lines(audit.incident_rows(found, now))


def show_changes(seen: GovernanceView) -> None:
    """Shows the changes that wait for a second person; nothing where there are none."""
    if not seen.changes:
        return
    st.subheader("Changes that wait for a second person")
    show_lines(audit.change_rows(seen.changes))
