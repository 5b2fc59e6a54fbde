"""Parts of a page that are drawn again by themselves, in the language of whoever looks."""

from collections.abc import Callable

import streamlit as st

from dashboard.texts import in_this_language


def show_refreshed(draw: Callable[[], None], seconds: float | None) -> None:
    """Shows a part of a page; it alone is drawn again every so many seconds.

    Args:
        draw: draws the part.
        seconds: between two drawings; None where only the whole page draws it again.
    """
    st.fragment(in_this_language(draw), run_every=seconds)()
