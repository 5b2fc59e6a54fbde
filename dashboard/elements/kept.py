"""Results that a browser's session keeps for as long as what they were made from is the same."""

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from compliance.facts.dossier import LogVerification
from dashboard.reading.views import DashboardViews

Result = TypeVar("Result")


def kept(name: str, source: object, make: Callable[[], Result]) -> Result:
    """Returns what ``make`` returns: anew whenever its source is another than the last time.

    Args:
        name: of the result, in this session.
        source: all that the result depends on; compared by value.
        make: makes it.
    """
    known: tuple[object, Result] | None = st.session_state.get(name)
    if known is None or known[0] != source:
        known = st.session_state[name] = (source, make())
    return known[1]


def verified_log(views: DashboardViews) -> LogVerification | None:
    """Returns what came of the newest verification; None before any of a long log."""
    found = views.verified()
    return None if found is None else found.result
