"""The run that is looked at: chosen once, for every part of the page that is about one."""

from dataclasses import replace

import streamlit as st

from compliance.facts.dossier import Dossier
from compliance.reports.sections import statements
from dashboard.elements.kept import verified_log
from dashboard.elements.pieces import show_statement
from dashboard.reading.views import DashboardViews
from dashboard.rows.runs import ordered, run_label
from dashboard.texts import say


def chosen_run(views: DashboardViews) -> Dossier | None:
    """Returns the run that is chosen of all in the folder, after verifying; None without any.

    What came of verifying stands first.
    """
    runs = ordered(views.runs())
    if not runs:
        st.info(say("runs.none"), icon=":material/info:")
        return None
    labels = {run.run_id: run_label(run) for run in runs}
    chosen = st.selectbox(
        say("runs.column_run"), list(labels), format_func=lambda name: labels[name], key="run"
    )
    dossier = views.dossier(chosen)
    dossier = replace(dossier, verification=verified_log(views))
    show_statement(statements.verification(dossier))
    return dossier
