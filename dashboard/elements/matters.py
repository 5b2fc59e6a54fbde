"""Lines about matters: an icon for how grave each is, and a link to where it is dealt with."""

from collections.abc import Sequence

import streamlit as st

from compliance.reports.document import Tone
from dashboard.elements.links import show_link
from dashboard.rows.consortium.matters import Matter, ordered_matters
from dashboard.rows.words import plain
from dashboard.texts import say

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
