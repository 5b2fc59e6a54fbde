"""Acts of people about a run and its study."""

import streamlit as st

from compliance.facts.dossier import Dossier
from dashboard.elements.pieces import show_lines
from dashboard.reading.views import DashboardViews
from dashboard.rows import audit, words


def show_acts(views: DashboardViews, dossier: Dossier) -> None:
    """Shows what people did about a run and its study."""
    st.subheader("What people did about this run")
    acts = views.acts(run=dossier.run_id, study=dossier.study_digest)
    if not acts:
        st.info("No act of a person about this run is recorded.")
        return
    show_lines(audit.act_rows(acts))
    st.caption(words.plain(audit.ACTS))
