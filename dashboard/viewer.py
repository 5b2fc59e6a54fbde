"""The viewer: who looks at a page, what they may see and do; no part of Streamlit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from compliance.governance.access.looking import ASKS_FOR_CODE, Subject
from compliance.governance.acts import ActRequest
from compliance.governance.people import FIRST_POLICY, Role
from protocol.errors import PolicyRefused

_Views = TypeVar("_Views")


class Viewer(Protocol):
    """Somebody who looks at the dashboard.

    What it says is for showing: the guard around views, and the service, decide again.
    """

    @property
    def name(self) -> str:
        """The person's name; empty where nobody logged in."""

    @property
    def roles(self) -> frozenset[Role]:
        """The roles that the person has now."""

    @property
    def signs(self) -> bool:
        """Whether acts can be signed in this session."""

    def may_see(self, subject: Subject) -> bool:
        """Whether the person may look at a subject now."""

    def may(self, action: str) -> bool:
        """Whether the person has the right to an act now, to do it or to propose it."""

    def roles_for(self, action: str) -> frozenset[Role]:
        """Returns the roles that have the right to an act, by the access policy in force."""

    def guard(self, views: _Views) -> _Views:
        """Returns views that check at every call what the person may look at."""

    def perform(
        self, request: ActRequest, payload: Mapping[str, Any] | None = None, code: str = ""
    ) -> dict[str, Any]:
        """Carries out an act, signed by the person's key; returns what is told of it.

        Args:
            request: the act.
            payload: what travels beside it.
            code: a fresh one-time code; for the acts that ask for one (``asks_for_code``).

        Raises:
            FederationError: the act is refused, or the code is wrong.
        """

    def sign_report(self, pdf: bytes) -> bytes:
        """Returns a report's PDF with the person's signature under it; the key stays here.

        The act ``report.sign`` is carried out before, see ``dashboard.app_pages.reports``.

        Raises:
            FederationError: nobody is signed in, or what signs is not installed.
        """

    def log_out(self) -> None:
        """Ends the session; the browser is sent to the login page."""


def asks_for_code(action: str) -> bool:
    """Whether an act asks for a fresh one-time code each time.

    >>> asks_for_code("change.confirm"), asks_for_code("run.stop")
    (True, False)
    """
    return action in ASKS_FOR_CODE


@dataclass(frozen=True)
class DemoViewer:
    """Somebody who looks without a login, on the machine itself: sees everything, does nothing."""

    name: str = ""
    roles: frozenset[Role] = frozenset(Role)
    signs: bool = False

    def may_see(self, _subject: Subject) -> bool:
        """True: the folder has no people, or belongs to whoever looks."""
        return True

    def may(self, _action: str) -> bool:
        """False: nobody could sign it."""
        return False

    def roles_for(self, action: str) -> frozenset[Role]:
        """Returns the roles of the policy with which a consortium begins."""
        return FIRST_POLICY.right(action).roles

    def guard(self, views: _Views) -> _Views:
        """Returns the views themselves."""
        return views

    def perform(
        self, request: ActRequest, _payload: Mapping[str, Any] | None = None, _code: str = ""
    ) -> dict[str, Any]:
        """Refuses.

        Raises:
            PolicyRefused: always.
        """
        raise PolicyRefused(
            f"{request.action} needs a person who has logged in: this dashboard was opened "
            "without a login"
        )

    def sign_report(self, _pdf: bytes) -> bytes:
        """Refuses.

        Raises:
            PolicyRefused: always.
        """
        raise PolicyRefused(
            "report.sign needs a person who has logged in: this dashboard was opened without a "
            "login"
        )

    def log_out(self) -> None:
        """Does nothing: there is no session."""
