"""A person before the dashboard, whose acts are signed by a real key and checked over a folder."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compliance.governance.acts import ActRequest
from compliance.governance.people import Person, Role
from coordinator.runs.person_acts import perform
from coordinator.views.governance import GovernanceView
from coordinator.views.views import open_views
from protocol.errors import PolicyRefused
from protocol.identity.roster import SigningKey

#: Acts that take the one-time code here.
CODED = frozenset({"change.confirm", "change.withdraw", "incident.confirm", "report.sign"})
CODE = "246810"


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
    def roles(self) -> frozenset[str]:
        return self._person.roles

    def may_see(self, subject: str) -> bool:
        return subject not in ("audit", "approvals") or self.roles != {Role.DATA_SCIENTIST}

    def may(self, action: str) -> bool:
        return bool(self.roles & self._seen.policy.right(action).roles)

    def needs_code(self, action: str) -> bool:
        return action in CODED

    def perform(
        self, request: ActRequest, payload: Mapping[str, Any] | None = None, code: str = ""
    ) -> dict[str, Any]:
        if self.needs_code(request.action) and code != CODE:
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
