"""The audit on one page: verify now, cosigners, search and proof, acts of people."""

import streamlit as st

from dashboard.app_pages.audit.acts import show_acts
from dashboard.app_pages.audit.cosigners import show_cosigners
from dashboard.app_pages.audit.proof import show_proof
from dashboard.app_pages.audit.search import show_search
from dashboard.app_pages.audit.verification import show_verification
from dashboard.elements.kept import kept
from dashboard.elements.pieces import show_statement
from dashboard.page import Page
from dashboard.rows import audit
from dashboard.texts import say


def show(page: Page) -> None:
    """Shows what the log says, who vouches for it, and what people did."""
    views = page.views
    size = views.log_size()
    cosigned = kept("cosigned log", size, views.cosigned_log)  # first: it is of the audit alone
    seen = views.governance()
    if (warning := audit.founding(seen)) is not None:
        show_statement(warning)
    show_verification(views, size, page.viewer)
    show_cosigners(cosigned)
    log, acts = st.tabs([say("audit.log"), say("audit.acts")])
    with log:
        chosen = show_search(views, seen)
        show_proof(views, chosen, size)
    with acts:
        show_acts(views, seen)
