"""The running page's viewer: the session behind it, the person's record now, the person's key."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from compliance.governance.access.lock_out import FREE_FAILURES
from compliance.governance.access.looking import Subject, may_look
from compliance.governance.acts import ActRequest
from compliance.governance.people import Person, Role
from coordinator.governance.accounts.guarded import PeopleNow, guarded
from coordinator.runs.person_acts import perform
from coordinator.runs.sign_in import SignIn
from dashboard.page import TimesScript, untimed
from dashboard.server.http.requests import HANDLE_HEADER
from dashboard.server.sessions import DashboardSession, Ended, SessionTable
from dashboard.viewer import DemoViewer, Viewer, asks_for_code
from protocol.errors import PolicyRefused
from protocol.identity.roster import SigningKey

_Views = TypeVar("_Views")

#: Finds the viewer of a session's handle; one server runs in a process.
FindsViewer = Callable[[str | None], Viewer]
#: Puts a person's signature under a PDF: the file, the person's key, the person's record now.
SignsPdf = Callable[[bytes, SigningKey, Person], bytes]
_finds: list[FindsViewer] = []
_times: list[TimesScript] = []


class PersonViewing:
    """Somebody who has logged in; made anew for every run of the page.

    Args:
        session: theirs.
        table: of the sessions.
        people: the people now.
        sign_in: compares codes.
        home: the coordinator's folder.
        signs_pdf: puts a signature under a report; None where this server signs none.

    Raises:
        PolicyRefused: the person may not look at the dashboard any more.
    """

    def __init__(
        self,
        session: DashboardSession,
        table: SessionTable,
        people: PeopleNow,
        sign_in: SignIn,
        home: Path,
        signs_pdf: SignsPdf | None = None,
    ) -> None:
        self._signs_pdf = signs_pdf
        self._session, self._table, self._people = session, table, people
        self._sign_in, self._home = sign_in, home
        person = people.require(session.public_key, identity=session.identity)
        self._policy = people.policy()
        #: The person's name and roles, as the register has them now.
        self.name: str = person.name
        self.roles: frozenset[Role] = person.roles

    @property
    def signs(self) -> bool:
        """Whether there is a key, and it is still there."""
        return self._session.key() is not None

    def may_see(self, subject: Subject) -> bool:
        """Whether the person may look at a subject now."""
        return may_look(self.roles, subject)

    def may(self, action: str) -> bool:
        """Whether the person has the right to an act now, to do it or to propose it."""
        right = self._policy.rights.get(action)
        return right is not None and self.signs and not self.roles.isdisjoint(right.roles)

    def roles_for(self, action: str) -> frozenset[Role]:
        """Returns the roles that have the right to an act, by the access policy in force."""
        return self._policy.right(action).roles

    def guard(self, views: _Views) -> _Views:
        """Returns views that check at every call what the person may look at."""
        return guarded(views, self._require)

    def perform(
        self, request: ActRequest, payload: Mapping[str, Any] | None = None, code: str = ""
    ) -> dict[str, Any]:
        """Carries out an act, signed by the person's key; see ``Viewer``.

        Raises:
            FederationError: the act is refused, or the code is wrong.
        """
        key = _key_of(self._alive())
        if asks_for_code(request.action):
            self._take_code(code)
        self._table.touch(self._session)
        return perform(self._home, request, key, payload)

    def sign_report(self, pdf: bytes) -> bytes:
        """Returns a PDF with the person's signature under it; see ``Viewer``.

        Raises:
            PolicyRefused: the session has ended, or this server signs nothing.
            WorkspaceRefused: what signs is not installed.
        """
        session = self._alive()
        key = _key_of(session)
        if self._signs_pdf is None:
            raise PolicyRefused("this server signs no reports: collegium report sign --as KEYFILE")
        return self._signs_pdf(pdf, key, self._people.require(session.public_key))

    def log_out(self) -> None:
        """Ends the session; the browser is sent to the login page."""
        self._table.end(self._session, Ended.LOGGED_OUT)

    def _require(self, subject: Subject) -> None:
        session = self._alive()
        self._people.require(session.public_key, subject, session.identity)

    def _alive(self) -> DashboardSession:
        if self._table.named(self._session.handle) is not self._session:
            raise PolicyRefused("the session has ended: log in again")
        return self._session

    def _take_code(self, code: str) -> None:
        """Takes a fresh code; after a few wrong ones the session ends."""
        try:
            self._sign_in.confirm_code(self._session.signed_in(), code)
        except PolicyRefused:
            self._session.wrong_codes += 1
            if self._session.wrong_codes >= FREE_FAILURES:
                self._table.end(self._session, Ended.NO_RIGHT)
            raise
        self._session.wrong_codes = 0


def _key_of(session: DashboardSession) -> SigningKey:
    """Returns the key with which a session signs.

    Raises:
        PolicyRefused: it has none: it has ended, or a provider said who it is.
    """
    key = session.key()
    if key is None and session.identity is not None:
        raise PolicyRefused(
            "log in with your account to sign: a login at your organisation is for looking alone"
        )
    if key is None:
        raise PolicyRefused("the session has ended: log in again")
    return key


def serve_viewers(finds: FindsViewer | None, times: TimesScript = untimed) -> None:
    """Says how viewers are found, and scripts timed, from now on.

    Args:
        finds: finds viewers; None where no server runs any more.
        times: times the scripts of pages.
    """
    _finds[:], _times[:] = ([], []) if finds is None else ([finds], [times])


def script_timer() -> TimesScript:
    """Returns what times the scripts of pages; nothing does where no server of ours runs."""
    return _times[0] if _times else untimed


def viewer_now(needs_login: Callable[[], bool] = lambda: True) -> Viewer:
    """Returns the viewer of the page that runs now.

    Args:
        needs_login: whether the folder that is shown has people; asked where no server of ours
            runs this page.

    Raises:
        PolicyRefused: the session has ended, or the folder has people and no login was asked.
    """
    if not _finds:
        if needs_login():
            raise PolicyRefused(
                "people are registered here: collegium dashboard opens this folder with a login"
            )
        return DemoViewer()
    return _finds[0](st.context.headers.get(HANDLE_HEADER))


def finder(
    table: SessionTable,
    people: PeopleNow,
    sign_in: SignIn,
    home: Path,
    signs_pdf: SignsPdf | None = None,
) -> FindsViewer:
    """Returns what finds viewers by the handle of a session."""
    return partial(_find, table, people, sign_in, home, signs_pdf)


def _find(
    table: SessionTable,
    people: PeopleNow,
    sign_in: SignIn,
    home: Path,
    signs_pdf: SignsPdf | None,
    handle: str | None,
) -> Viewer:
    session = table.named(handle)
    if session is None:
        raise PolicyRefused("the session has ended: log in again")
    return PersonViewing(session, table, people, sign_in, home, signs_pdf)
