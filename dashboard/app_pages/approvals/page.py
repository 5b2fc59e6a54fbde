"""The page itself: what came of the last act, then a tab for each kind of approval."""

from collections.abc import Callable
from functools import partial

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


def show(page: Page) -> None:
    """Shows everything that takes people's or hospitals' signatures."""
    show_what_came_of_it(page.views, page.viewer)
    seen = page.views.governance(decided=True)
    if (warning := audit.founding(seen)) is not None:
        show_statement(warning)
    waiting = [one for one in seen.changes if one.state == "proposed"]
    is_open = [one for one in seen.incidents if one.incident.state is not IncidentState.CLOSED]
    held = [one for one in seen.holds if one.lifted_at is None]
    parts: dict[str, Callable[[], None]] = {
        _label("changes", len(waiting)): partial(show_changes, page, seen),
        _label("incidents", len(is_open)): partial(show_incidents, page, seen),
        _label("hospitals", 0): partial(show_signatures, page),
        _label("holds", len(held)): partial(show_holds, page, seen),
        _label("people", 0): partial(show_people, page, seen),
    }
    for tab, draw in zip(st.tabs(list(parts)), parts.values(), strict=True):
        with tab:
            draw()


def _label(name: str, number: int) -> str:
    """Returns a tab's label, with how many there are."""
    label = say(f"approvals.{name}")
    return f"{label} ({number})" if number else label
