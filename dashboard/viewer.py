"""People who look at the dashboard: what they may see, and what they may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from compliance.governance.acts import ActRequest
from protocol.errors import PolicyRefused


class Viewer(Protocol):
    """A person, or nobody in particular where a folder is shown without login."""

    @property
    def name(self) -> str:
        """The person's name; empty without login."""

    @property
    def roles(self) -> frozenset[str]:
        """The person's roles, as they are registered now."""

    @property
    def signs(self) -> bool:
        """Whether acts can be signed in this session."""

    def may_see(self, subject: str) -> bool:
        """Whether the service would show this subject; it checks again when it is asked."""

    def may(self, action: str) -> bool:
        """Whether the policy in force lets the person do this act; the service checks again."""

    def needs_code(self, action: str) -> bool:
        """Whether this act takes a fresh one-time code."""

    def perform(
        self, request: ActRequest, payload: Mapping[str, Any] | None = None, code: str = ""
    ) -> dict[str, Any]:
        """Carries out an act under the person's signature; returns what is told of it.

        Args:
            request: the act.
            payload: what travels beside it.
            code: a fresh one-time code, where the act needs one.

        Raises:
            FederationError: it is refused, or what it asks for is.
        """

    def sign_report(self, pdf: bytes) -> bytes:
        """Returns a report's PDF with the person's signature under it; the key stays here.

        The act ``report.sign`` is carried out before, see ``dashboard.pages.reports``.

        Raises:
            FederationError: nobody is signed in, or what signs is not installed.
        """


@dataclass(frozen=True)
class Anybody:
    """Somebody who looks without login: sees everything, and can do nothing."""

    name: str = ""
    roles: frozenset[str] = frozenset()
    signs: bool = False

    def may_see(self, subject: str) -> bool:
        """Returns True: without login all that a folder holds is shown."""
        return True

    def may(self, action: str) -> bool:
        """Returns False: nobody stands for an act."""
        return False

    def needs_code(self, action: str) -> bool:
        """Returns False: nothing can be done."""
        return False

    def perform(
        self, request: ActRequest, payload: Mapping[str, Any] | None = None, code: str = ""
    ) -> dict[str, Any]:
        """Refuses.

        Raises:
            PolicyRefused: always.
        """
        raise PolicyRefused(f"{request.action} needs a person: this page is open without login")

    def sign_report(self, pdf: bytes) -> bytes:
        """Refuses.

        Raises:
            PolicyRefused: always.
        """
        raise PolicyRefused("report.sign needs a person: this page is open without login")
