"""Sites: the hospitals, whether they are there, what they take part in, and their budgets."""

from functools import partial

import streamlit as st

from compliance.storage.clock import utc_now
from coordinator.views.members.sites import NEWEST_RUNS
from dashboard.elements.pieces import show_lines
from dashboard.elements.refreshed import show_refreshed
from dashboard.page import Page
from dashboard.rows.consortium import sites as rows
from dashboard.rows.words import plain
from dashboard.texts import say

#: Seconds between two looks while a service runs.
_OFTEN = 10


def show(page: Page) -> None:
    """Shows the hospitals: connection, part in rounds, budgets."""
    found = page.views.sites()
    if not found:
        st.info(say("sites.none"), icon=":material/info:")
        st.code(
            "collegium coordinator invite SITE --home FOLDER --as KEYFILE",
            language=None,
            wrap_lines=True,
        )
        return
    st.caption(say("sites.count", number=len(found)))
    runs = page.tools.last_seen() is not None
    show_refreshed(page.viewer, partial(_show_connections, page), _OFTEN if runs else None)
    st.subheader(say("sites.part"), anchor=False)
    took_part = rows.round_rows(found)
    if took_part:
        show_lines(took_part)
        st.caption(plain(say("sites.part_note", runs=NEWEST_RUNS)))
    else:
        st.info(say("runs.none"), icon=":material/info:")
    budgets = rows.budget_rows(found)
    if budgets:
        st.subheader(say("sites.budgets"), anchor=False)
        show_lines(budgets)
        st.caption(plain(say("sites.budget_note")))


def _show_connections(page: Page) -> None:
    st.subheader(say("sites.connections"), anchor=False)
    show_lines(rows.connection_rows(page.views.sites(), page.tools.last_seen(), utc_now()))
    st.caption(plain(say("sites.connection_note")))
