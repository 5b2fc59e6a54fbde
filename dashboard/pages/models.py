"""Models: the released model of each run."""

import streamlit as st

from dashboard.page import Page
from dashboard.texts import say


def show(page: Page) -> None:
    """Shows the digest of each finished run's model."""
    runs = [run for run in page.views.runs() if run.state == "finished"]
    if not runs:
        st.info(say("models.none"), icon=":material/info:")
        return
    st.caption(say("models.count", number=len(runs)))
