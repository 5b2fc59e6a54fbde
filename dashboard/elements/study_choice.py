"""The study that is looked at: runs whose figures can be compared, chosen as one."""

import streamlit as st

from dashboard.reading.views import DashboardViews
from dashboard.rows.figures.studies import AskedStudy, asked_studies, study_labels
from dashboard.texts import say


def chosen_study(views: DashboardViews) -> AskedStudy | None:
    """Returns the study that is chosen of all in the folder; None without any run."""
    studies = asked_studies(views.runs())
    if not studies:
        st.info(say("runs.none"), icon=":material/info:")
        return None
    labels, known = study_labels(studies), {study.question: study for study in studies}
    chosen = st.selectbox(
        say("studies.choose"), list(labels), format_func=lambda name: labels[name], key="study"
    )
    return known[chosen]
