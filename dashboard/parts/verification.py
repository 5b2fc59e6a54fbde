"""Verification of the log, made anew whenever what is shown has changed."""

import streamlit as st

from compliance.facts.dossier import LogVerification
from dashboard.presentation import DashboardViews

#: Where a browser's session keeps what was verified last, with what came of it.
_VERIFIED = "verified"


def verified_log(views: DashboardViews, shown: object) -> LogVerification:
    """Returns what came of verifying: anew whenever what is shown has changed."""
    known: tuple[object, LogVerification] | None = st.session_state.get(_VERIFIED)
    if known is None or known[0] != shown:
        known = st.session_state[_VERIFIED] = (shown, views.verification())
    return known[1]
