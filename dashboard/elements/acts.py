"""Acts of people on a page: what will happen in words, the button, and what came of it.

The page decides nothing: the act is signed by the person's own key, and the service takes or
refuses it. Where nobody is signed in, the command that does it stands there instead.

A button signs what stood on the screen when it was pressed: where that has changed meanwhile, the
form on the screen is none any more, and nothing is signed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from compliance.governance.acts import ActRequest
from compliance.governance.people import RIGHTS
from coordinator.views.log.search import LogQuery
from dashboard.reading.views import DashboardViews
from dashboard.rows.words import plain
from dashboard.texts import say
from dashboard.viewer import Viewer, asks_for_code
from protocol.encoding import digest
from protocol.errors import FederationError

_CAME_OF_IT = "what came of the last act"
#: What each form was about when it was drawn last, by its key.
_SHOWN = "what was offered"


@dataclass(frozen=True, kw_only=True)
class OfferedAct:
    """An act that a page offers.

    Attributes:
        key: of its form, unique on the page.
        action: see ``compliance.governance.people.RIGHTS``.
        button: the words on the button.
        will: what will happen, in words.
        command: the command that does the same.
        about: all that is shown about it and that it is done to; with anything else it is another
            form.
    """

    key: str
    action: str
    button: str
    will: str
    command: str
    about: str = ""

    @property
    def form(self) -> str:
        """The key of the form: that of this act about what is shown."""
        return f"{self.key} {digest(self.about.encode())[:16]}"


@dataclass(frozen=True, kw_only=True)
class CameOfIt:
    """The outcome of an act: what the service told, or why it refused."""

    action: str
    told: Mapping[str, Any]
    refused: str = ""


def offer_act(
    viewer: Viewer,
    offered: OfferedAct,
    request: Callable[[], ActRequest],
    done: Callable[[], None] = lambda: None,
) -> None:
    """Shows an act's form; carries the act out when its button is pressed.

    Args:
        viewer: who looks.
        offered: the act.
        request: draws the form's fields and returns what is asked for.
        done: is called once the act is in the log.
    """
    if not viewer.signs:
        st.caption(plain(f"{offered.will} {say('acts.command')}"))
        st.code(offered.command, language=None, wrap_lines=True)
        return
    if not viewer.may(offered.action):
        st.caption(plain(without_right(viewer, offered.action)))
        return
    if _has_changed(offered):
        st.warning(say("acts.changed"), icon=":material/update:")
    with st.form(offered.form, border=True):
        st.markdown(plain(offered.will))
        wanted = request()
        code = ""
        if asks_for_code(offered.action):
            code = st.text_input(
                say("acts.code"), help=say("acts.code_help"), max_chars=10, autocomplete="off"
            )
        if st.form_submit_button(offered.button, type="primary"):
            carry_out(viewer, wanted, code, done)


def _has_changed(offered: OfferedAct) -> bool:
    """Whether an act was about something else when it was drawn before; notes what it is now."""
    shown: dict[str, str] = st.session_state.setdefault(_SHOWN, {})
    before = shown.get(offered.key, offered.form)
    shown[offered.key] = offered.form
    return before != offered.form


def without_right(viewer: Viewer, action: str) -> str:
    """Returns the sentence that says which role may do an act."""
    roles = ", ".join(sorted(viewer.roles_for(action)))
    return say("acts.no_right", what=RIGHTS[action].what, roles=roles)


def carry_out(
    viewer: Viewer, request: ActRequest, code: str, done: Callable[[], None] = lambda: None
) -> None:
    """Carries out an act, keeps what came of it, and draws the page anew."""
    try:
        told = viewer.perform(request, code=code.strip())
        done()
        came = CameOfIt(action=request.action, told=told)
    except FederationError as error:
        came = CameOfIt(action=request.action, told={}, refused=str(error))
    st.session_state[_CAME_OF_IT] = came
    st.session_state[_SHOWN] = {}
    st.rerun()


def show_what_came_of_it(views: DashboardViews, viewer: Viewer) -> None:
    """Shows once what came of the last act, with its number in the log."""
    came: CameOfIt | None = st.session_state.pop(_CAME_OF_IT, None)
    if came is None:
        return
    what = RIGHTS[came.action].what
    if came.refused:
        st.error(
            f"**{say('acts.refused', what=plain(what))}** {plain(came.refused)}",
            icon=":material/block:",
        )
        return
    act = came.told.get("act")
    number = None if act is None else _entry_of(views, viewer.name, str(act))
    if came.told.get("waits"):
        text = say("acts.waits", number=came.told.get("change"))
    else:
        text = say("acts.done", what=plain(what))
    where = "" if number is None else say("acts.logged", entry=f"{number:,}")
    st.success(f"**{text}** {where}", icon=":material/check:")
    for line in _told_lines(came.told):
        st.markdown(plain(line))


def _entry_of(views: DashboardViews, person: str, act: str) -> int | None:
    """Returns the number of the newest entry about a person's act.

    None where it is not among the newest, or the person may not search the log.
    """
    try:
        page = views.search_log(LogQuery(person=person), limit=5)
    except FederationError:
        return None
    return next((one.entry.index for one in page.entries if one.entry.payload == act), None)


def _told_lines(told: Mapping[str, Any]) -> list[str]:
    """Returns what else was told: the measures of a containment, an invitation's end."""
    steps = told.get("steps") or []
    measures = steps[-1]["measures"] if steps else []
    return [f"{one['kind']} {one['subject']}: {one['result']}" for one in measures]
