"""Models: every released model, what it comes from, and how it is loaded."""

import streamlit as st

from dashboard.page import Page
from dashboard.reading.views import DashboardViews
from dashboard.rows import words
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
    """Shows the released models, and one of them with its lineage."""
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
