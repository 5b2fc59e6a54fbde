"""The run that is looked at: chosen once, for every part of the page that is about one."""

from dataclasses import replace

import streamlit as st

from compliance.facts.dossier import Dossier
from compliance.reports.sections import statements
from dashboard import presentation
from dashboard.parts.elements import show_statement
from dashboard.parts.kept import verified_log
from dashboard.presentation import DashboardViews


def chosen_run(views: DashboardViews) -> Dossier | None:
    """Returns the run that is chosen of all in the folder, after verifying; None without any.

    What came of verifying stands first.
    """
    runs = presentation.ordered(views.runs())
    if not runs:
        st.info("No run yet. Start one with: collegium demo --out FOLDER")
        return None
    labels = {run.run_id: presentation.run_label(run) for run in runs}
    chosen = st.selectbox("Run", list(labels), format_func=lambda name: labels[name], key="run")
    dossier = views.dossier(chosen)
    dossier = replace(dossier, verification=verified_log(views, dossier))
    show_statement(statements.verification(dossier))
    return dossier
