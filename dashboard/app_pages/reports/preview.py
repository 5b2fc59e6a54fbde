"""The preview of a report: its HTML page, in a frame that runs no script and fetches nothing."""

from html import escape

import streamlit as st

from dashboard.texts import say

_HEIGHT = 900  # pixels


def show_preview(title: str, page: str) -> None:
    """Shows a report's HTML page, folded away."""
    with st.expander(say("reports.preview"), icon=":material/preview:"):
        st.iframe(framed(title, page), height=_HEIGHT)


def framed(title: str, page: str) -> str:
    """Returns a page within a frame whose sandbox allows nothing: no script, form or link."""
    return (
        f'<iframe sandbox="" title="{escape(title)}" srcdoc="{escape(page)}" '
        f'style="width:100%;height:{_HEIGHT - 20}px;border:1px solid #888"></iframe>'
    )
