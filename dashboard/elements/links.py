"""Links from one page of the dashboard to another, without loading it anew."""

from collections.abc import Mapping

import streamlit as st

from dashboard.rows.words import plain

_ENTRIES = "pages of the navigation"


def keep_entries(entries: Mapping[str, object]) -> None:
    """Keeps the pages that the navigation has, by name, for links to them."""
    st.session_state[_ENTRIES] = dict(entries)


def show_link(name: str, label: str, icon: str = ":material/arrow_forward:") -> None:
    """Shows a link to a page; nothing where that page is not in the navigation."""
    entry = st.session_state.get(_ENTRIES, {}).get(name)
    if entry is not None:
        st.page_link(entry, label=plain(label), icon=icon)
