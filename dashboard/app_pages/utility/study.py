"""A study: how good its models are against epsilon, what is left of budgets, and what-if."""

from dataclasses import replace

import streamlit as st

from compliance.facts.dossier import Dossier
from compliance.reports.sections import statements
from dashboard.app_pages.utility.budgets import show_budgets
from dashboard.app_pages.utility.what_if import show_what_if
from dashboard.elements.choice.study import chosen_study
from dashboard.elements.figures import show_points
from dashboard.elements.kept import verified_log
from dashboard.elements.pieces import show_statement
from dashboard.reading.views import DashboardViews
from dashboard.rows import words
from dashboard.rows.figures.studies import AskedStudy, not_drawn
from dashboard.texts import say


def show_study(views: DashboardViews) -> None:
    """Shows the study that is chosen."""
    study = chosen_study(views)
    if study is None:
        return
    dossier = views.dossier(study.shown.run_id)
    verified = replace(dossier, verification=verified_log(views))
    show_statement(statements.verification(verified))
    show_statement(statements.claim(dossier))
    _show_utility(views, study, dossier)
    show_budgets(views, dossier)
    show_what_if(dossier, views.utility(study.shown.run_id))


def _show_utility(views: DashboardViews, study: AskedStudy, dossier: Dossier) -> None:
    st.subheader(say("utility.against_epsilon"))
    if not dossier.has_model:
        st.info(say("utility.trains_nothing"), icon=":material/info:")
        return
    run = study.shown.run_id
    show_points(views.utility(run), views.withheld(run))
    if left_out := not_drawn(study):
        st.caption(words.plain(left_out))
    st.caption(say("utility.no_curve"))
