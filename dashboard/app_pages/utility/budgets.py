"""Budgets for life of a study's hospitals: what is left of each, and when it ends."""

import streamlit as st

from compliance.charts.run import privacy_spent
from compliance.facts.dossier import Dossier
from compliance.reports import run_tables
from compliance.reports.sections import statements
from compliance.storage.clock import utc_now
from dashboard.elements.charts import show_chart
from dashboard.elements.pieces import show_lines
from dashboard.reading.views import DashboardViews
from dashboard.rows import words
from dashboard.rows.figures.budgets import (
    forecast_table,
    forecasts,
    pace_sentence,
    runs_sentence,
    telling_runs,
)
from dashboard.texts import say


def show_budgets(views: DashboardViews, dossier: Dossier) -> None:
    """Shows the budgets of a study's hospitals, with a forecast."""
    st.subheader(say("budgets.title"))
    if not dossier.protected or not dossier.sites:
        st.warning(words.plain(statements.claim(dossier).text), icon=":material/shield:")
        return
    show_chart(privacy_spent(dossier.sites), run_tables.budget_table(dossier), about="budget")
    now = utc_now()
    others = [
        views.dossier(name)
        for name in telling_runs(views.runs(), dossier.run_id, now)
        if name != dossier.run_id
    ]
    found = forecasts(dossier, others, now)
    if not found:
        st.info(say("budgets.nothing_signed"), icon=":material/info:")
        return
    st.markdown(f"- {words.plain(runs_sentence(found))}\n- {words.plain(pace_sentence(found))}")
    show_lines(words.readable(forecast_table(found)))
    st.caption(say("budgets.assumed"))
