"""Sites: the hospitals of the chosen run."""

import streamlit as st

from dashboard.elements.choice import chosen_run
from dashboard.page import Page
from dashboard.texts import say


def show(page: Page) -> None:
    """Shows the hospitals of the chosen run."""
    dossier = chosen_run(page.views)
    if dossier is not None:
        st.caption(say("sites.count", number=len(dossier.sites)))
