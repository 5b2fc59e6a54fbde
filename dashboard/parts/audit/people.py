"""People: incidents that are open, changes that wait for a second one, and acts about a run."""

import streamlit as st

from compliance.facts.dossier import Dossier
from compliance.governance.incidents.course import IncidentState
from compliance.storage.clock import utc_now
from coordinator.views.governance import GovernanceView
from dashboard import audit_rows, presentation
from dashboard.parts.elements import show_lines
from dashboard.presentation import DashboardViews


def show_incidents(seen: GovernanceView) -> None:
    """Shows the incidents that are not closed, with their clocks; nothing where there are none."""
    found = [one for one in seen.incidents if one.incident.state is not IncidentState.CLOSED]
    if not found:
        return
    now = utc_now()
    st.subheader("Open incidents")
    if audit_rows.is_late(found, now):
        st.error(
            "**A notification is late.** Record it now, with why: collegium incident notify.",
            icon=":material/alarm:",
        )
    show_lines(audit_rows.incident_rows(found, now))


def show_changes(seen: GovernanceView) -> None:
    """Shows the changes that wait for a second person; nothing where there are none."""
    if not seen.changes:
        return
    st.subheader("Changes that wait for a second person")
    show_lines(audit_rows.change_rows(seen.changes))


def show_acts(views: DashboardViews, dossier: Dossier) -> None:
    """Shows what people did about a run and its study."""
    st.subheader("What people did about this run")
    acts = views.acts(run=dossier.run_id, study=dossier.study_digest)
    if not acts:
        st.info("No act of a person about this run is recorded.")
        return
    show_lines(audit_rows.act_rows(acts))
    st.caption(presentation.plain(audit_rows.ACTS))
