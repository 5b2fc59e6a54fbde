"""Verify now: all records against the signed log, on demand and beside the page, with progress."""

from functools import partial

import streamlit as st

from compliance.facts.formatting import Format, show
from compliance.reports.document import Tone
from coordinator.views.opened.version import KeptVerification
from dashboard.elements.pieces import show_statement
from dashboard.elements.refreshed import show_refreshed
from dashboard.reading.verifying import VerificationState
from dashboard.reading.views import DashboardViews
from dashboard.rows import audit
from dashboard.rows.words import plain
from dashboard.texts import say
from dashboard.viewer import Viewer

#: Seconds between two looks while a verification is under way.
_OFTEN = 1


def show_verification(views: DashboardViews, size: int, viewer: Viewer) -> None:
    """Shows what the newest verification found, what came since, and the button.

    Args:
        views: of the store.
        size: how many entries the log has now.
        viewer: who looks.
    """
    st.subheader(say("audit.verification"), anchor=False)
    running = views.verification_state().running
    show_refreshed(viewer, partial(_show_state, views, size), _OFTEN if running else None)


def _show_state(views: DashboardViews, size: int) -> None:
    state = views.verification_state()
    if st.button(
        say("audit.verify"), icon=":material/verified:", disabled=not size or state.running
    ):
        views.verify()
        st.rerun()
    if state.running:
        share = state.done / state.total if state.total else 0.0
        st.progress(min(share, 1.0), text=plain(say("audit.checking", what=state.part)))
    elif state.refused:
        st.error(plain(state.refused), icon=":material/error:")
    found = views.verified()
    if found is None:
        st.caption(plain(say("audit.not_verified", size=f"{size:,}")))
        return
    _show_found(found, size)
    _show_when(found, state)


def _show_found(found: KeptVerification, size: int) -> None:
    statement = audit.verified_statement(found.result, found.size)
    show_statement(statement)
    for fault in found.result.faults:
        st.error(plain(fault), icon=":material/error:")
    if statement.tone is Tone.GOOD:
        st.caption(plain(say("audit.key", public=found.result.key)))
    if size != found.size:
        st.warning(say("audit.since", number=size - found.size), icon=":material/update:")


def _show_when(found: KeptVerification, state: VerificationState) -> None:
    """Shows when it was and how long it took; a short log is verified whenever it has grown."""
    if state.kept is None or state.kept.size != found.size:
        st.caption(plain(say("audit.verified_for_page")))
        return
    when, took = show(state.at, Format.TIME), show(state.seconds, Format.SECONDS)
    st.caption(plain(say("audit.verified_at", when=when, seconds=took)))
