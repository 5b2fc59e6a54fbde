"""Links between pages, and lines about matters with a link to where each is dealt with."""

from collections.abc import Mapping, Sequence

import streamlit as st

from compliance.reports.document import Tone
from dashboard.rows.consortium.matters import Matter, ordered_matters
from dashboard.rows.words import plain
from dashboard.texts import say

_ENTRIES = "pages of the navigation"
_ICONS = {
    Tone.GOOD: ":material/check_circle:",
    Tone.PLAIN: ":material/info:",
    Tone.CAUTION: ":material/warning:",
    Tone.BAD: ":material/error:",
}
#: So many lines are shown; the others are counted.
_MOST = 6


def show_matters(heading: str, matters: Sequence[Matter]) -> None:
    """Shows lines under a heading, the most urgent first; nothing where there are none."""
    if not matters:
        return
    st.subheader(heading, anchor=False)
    for one in ordered_matters(matters)[:_MOST]:
        told, link = st.columns([5, 1], vertical_alignment="top", gap="small")
        with told:
            st.markdown(f"{_ICONS[one.tone]} {plain(one.text)}")
            if one.remedy:
                st.caption(plain(one.remedy))
        with link:
            show_link(one.page, say(f"navigation.{one.page}"))
    if len(matters) > _MOST:
        st.caption(say("today.more", number=len(matters) - _MOST))


def keep_entries(entries: Mapping[str, object]) -> None:
    """Keeps the pages that the navigation has, by name, for links to them."""
    st.session_state[_ENTRIES] = dict(entries)


def show_link(name: str, label: str, icon: str = ":material/arrow_forward:") -> None:
    """Shows a link to a page; nothing where that page is not in the navigation."""
    entry = st.session_state.get(_ENTRIES, {}).get(name)
    if entry is not None:
        st.page_link(entry, label=plain(label), icon=icon)
