"""The page itself: what came of the last act, then a tab for each kind of approval."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from compliance.governance.incidents.course import IncidentState
from dashboard.app_pages.approvals.changes import show_changes
from dashboard.app_pages.approvals.holds import show_holds
from dashboard.app_pages.approvals.hospitals import show_signatures
from dashboard.app_pages.approvals.incidents import show_incidents
from dashboard.app_pages.approvals.people import show_people
from dashboard.elements.acts import show_what_came_of_it
from dashboard.elements.pieces import show_statement
from dashboard.page import Page
from dashboard.rows import audit
from dashboard.texts import say

if TYPE_CHECKING:
    from streamlit.elements.lib.mutable_tab_container import TabContainer

#: In the state of a session: the label of the open tab, and the part that it is of.
_TAB, _PART = "approvals tab", "approvals part"


def show(page: Page) -> None:
    """Shows everything that takes people's or hospitals' signatures."""
    show_what_came_of_it(page.views, page.viewer)
    seen = page.views.governance(decided=True)
    if (warning := audit.founding(seen)) is not None:
        show_statement(warning)
    waiting = [one for one in seen.changes if one.state == "proposed"]
    is_open = [one for one in seen.incidents if one.incident.state is not IncidentState.CLOSED]
    held = [one for one in seen.holds if one.lifted_at is None]
    parts: dict[str, tuple[int, Callable[[], None]]] = {
        "changes": (len(waiting), partial(show_changes, page, seen)),
        "incidents": (len(is_open), partial(show_incidents, page, seen)),
        "hospitals": (0, partial(show_signatures, page)),
        "holds": (len(held), partial(show_holds, page, seen)),
        "people": (0, partial(show_people, page, seen)),
    }
    labels = {name: _label(name, number) for name, (number, _) in parts.items()}
    for tab, (_, draw) in zip(_tabs(labels), parts.values(), strict=True):
        with tab:
            draw()


def _tabs(labels: Mapping[str, str]) -> "Sequence[TabContainer]":
    """Returns a tab for each part; the one that is open stays so when its label changes.

    Labels count what waits, and Streamlit knows a tab by its label alone.
    """
    state = st.session_state
    if state.get(_TAB) not in labels.values() and _PART in state:
        state[_TAB] = labels[state[_PART]]
    tabs = st.tabs(list(labels.values()), key=_TAB, on_change="rerun")
    state[_PART] = next(name for name, tab in zip(labels, tabs, strict=True) if tab.open)
    return tabs


def _label(name: str, number: int) -> str:
    """Returns a tab's label, with how many there are."""
    label = say(f"approvals.{name}")
    return f"{label} ({number})" if number else label
