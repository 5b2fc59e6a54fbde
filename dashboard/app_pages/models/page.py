"""The page itself: the register and its steps, then every released model and its lineage."""

import streamlit as st

from dashboard.app_pages.models.register import show_register
from dashboard.app_pages.models.steps import show_steps
from dashboard.elements.acts import show_what_came_of_it
from dashboard.page import Page
from dashboard.reading.views import DashboardViews
from dashboard.rows import words
from dashboard.rows.figures.model_register import unregistered
from dashboard.rows.figures.models import (
    lineage_list,
    loading,
    model_label,
    model_rows,
    released_models,
    warnings_of,
)
from dashboard.texts import say


def show(page: Page) -> None:
    """Shows the register of models, the steps that are possible, and every released model."""
    show_what_came_of_it(page.views, page.viewer)
    lines, snapshots = page.views.models(), page.views.snapshots()
    if lines or snapshots:
        line = show_register(lines)
        show_steps(page, line, unregistered(lines, snapshots))
        st.subheader(say("models.released"), anchor=False)
    runs = released_models(page.views.runs())
    if not runs:
        st.info(say("models.none"), icon=":material/info:")
        return
    st.caption(say("models.count", number=len(runs)))
    st.dataframe(model_rows(runs), hide_index=True, width="stretch")
    labels = {run.run_id: model_label(run) for run in runs}
    chosen = st.selectbox(
        say("models.model"), list(labels), format_func=lambda name: labels[name], key="model"
    )
    _show_model(page.views, chosen)


def _show_model(views: DashboardViews, run_id: str) -> None:
    dossier = views.dossier(run_id)
    st.subheader(say("models.lineage"))
    for warning in warnings_of(dossier):
        st.warning(warning, icon=":material/warning:")
    st.markdown(lineage_list(dossier))
    st.caption(say("models.where"))
    st.subheader(say("models.how_to_load"))
    st.code(loading(dossier), language=None, wrap_lines=True)
    st.caption(words.plain(say("models.load_docs")))
