"""Hospitals' signatures: under the roster, and for the studies of runs. They are given there."""

import streamlit as st

from compliance.storage.clock import utc_now
from dashboard.elements.pieces import show_lines
from dashboard.page import Page
from dashboard.rows.consortium import approvals
from dashboard.rows.words import plain
from dashboard.texts import say


def show_signatures(page: Page) -> None:
    """Shows who has signed the roster, and which hospital has approved which study."""
    st.subheader(say("approvals.rosters"), anchor=False)
    rosters = page.views.rosters()
    if rosters:
        show_lines(approvals.roster_rows(rosters, utc_now()))
    else:
        st.info(say("approvals.no_roster"), icon=":material/info:")
    st.subheader(say("approvals.studies"), anchor=False)
    runs = page.views.approvals()
    if runs:
        show_lines(approvals.study_rows(runs))
    else:
        st.info(say("runs.none"), icon=":material/info:")
    st.caption(plain(say("approvals.given_there")))
