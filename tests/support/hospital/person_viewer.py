"""A person before the dashboard, whose acts are signed by a real key and checked over a folder."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from compliance.governance.access.looking import Subject, may_look
from compliance.governance.acts import ActRequest
from compliance.governance.people import Person, Role
from coordinator.runs.person_acts import perform
from coordinator.views.governance import GovernanceView
from coordinator.views.views import open_views
from dashboard.viewer import asks_for_code
from protocol.errors import PolicyRefused
from protocol.identity.roster import SigningKey

#: The one-time code that is right here, whenever.
CODE = "246810"
_Views = TypeVar("_Views")


def _signs_nothing(pdf: bytes, key: SigningKey, person: Person) -> bytes:
    raise PolicyRefused("nothing signs reports here")


@dataclass(frozen=True)
class PersonViewer:
    """One of the people of a folder, signed in; ``sign`` puts a signature under a PDF."""

    home: Path
    name: str
    key: SigningKey = field(repr=False)
    sign: Callable[[bytes, SigningKey, Person], bytes] = _signs_nothing
    signs: bool = True

    @property
    def roles(self) -> frozenset[Role]:
        return self._person.roles

    def may_see(self, subject: Subject) -> bool:
        return may_look(self._person.roles, subject)

    def guard(self, views: _Views) -> _Views:
        return views

    def log_out(self) -> None:
        raise PolicyRefused("there is no session here")

    def may(self, action: str) -> bool:
        return bool(self.roles & self.roles_for(action))

    def roles_for(self, action: str) -> frozenset[Role]:
        return self._seen.policy.right(action).roles

    def perform(
        self, request: ActRequest, payload: Mapping[str, Any] | None = None, code: str = ""
    ) -> dict[str, Any]:
        if asks_for_code(request.action) and code != CODE:
            raise PolicyRefused("the one-time code is wrong or was used: take the next one")
        return perform(self.home, request, self.key, payload)

    def sign_report(self, pdf: bytes) -> bytes:
        return self.sign(pdf, self.key, self._person)

    @property
    def _seen(self) -> GovernanceView:
        with closing(open_views(self.home)) as views:
            return views.governance()

    @property
    def _person(self) -> Person:
        return next(person for person in self._seen.people if person.name == self.name)
