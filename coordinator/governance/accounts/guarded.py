"""A guard around views: on every call the person's record now says what may be looked at.

Rules:

1. The person is looked up by key in the database, at every call; what a session remembers decides
   nothing.
2. A method that stands in no line of ``SUBJECTS`` is refused to everybody.
3. It guards whatever has the methods of ``Views``, also views that keep answers: the guard stands
   outside of what is kept.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import select

from compliance.governance.access.linked_identity import LinkedIdentity
from compliance.governance.access.looking import Subject, require_look
from compliance.governance.people import AccessPolicy, Person
from compliance.storage.clock import Clock, utc_now
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.accounts.links import require_linked
from coordinator.governance.accounts.tables import AccountRow
from coordinator.governance.people_register import person_with_key, policy_in
from protocol.errors import PolicyRefused
from protocol.identity.timestamps import write_time

_Views = TypeVar("_Views")

#: The subject of every method of the views; None for what shows nothing.
SUBJECTS: Mapping[str, Subject | None] = {
    "close": None,
    "version": Subject.RUNS,
    "log_size": Subject.RUNS,
    "root_at": Subject.RUNS,
    "runs": Subject.RUNS,
    "notes": Subject.RUNS,
    "sites": Subject.SITES,
    "rosters": Subject.SITES,
    "approvals": Subject.APPROVALS,
    "study_digest": Subject.RUNS,
    "newest_finished": Subject.RUNS,
    "declarations": Subject.REPORTS,
    "subject": Subject.REPORTS,
    "dossier": Subject.FIGURES,
    "calendar": Subject.FIGURES,
    "calendars": Subject.FIGURES,
    "baselines": Subject.FIGURES,
    "strategies": Subject.FIGURES,
    "releases_made": Subject.FIGURES,
    "utility": Subject.FIGURES,
    "withheld": Subject.FIGURES,
    "references": Subject.FIGURES,
    "alerts": Subject.RUNS,
    "alert": Subject.RUNS,
    "models": Subject.MODELS,
    "snapshots": Subject.MODELS,
    "snapshot": Subject.MODELS,
    "served": Subject.MODELS,
    "governance": Subject.APPROVALS,
    "acts": Subject.AUDIT,
    "search_log": Subject.AUDIT,
    "cosigned_log": Subject.AUDIT,
    "proof": Subject.RUNS,
    "verification": Subject.RUNS,
    "verified": Subject.RUNS,
    "verify": Subject.RUNS,
    "verification_state": Subject.RUNS,
    "is_governed": None,
}


class PeopleNow:
    """The people and the access policy, looked up anew whenever it is asked.

    A database that does not answer is not waited for longer than a page's reader waits.

    Args:
        home: the coordinator's folder.
        clock: says what time it is.

    Raises:
        StoreBroken, WorkspaceRefused: the database cannot be read.
    """

    def __init__(self, home: Path, clock: Clock = utc_now) -> None:
        place = Workspace.open(home).database
        self._store = Store.for_reading(place, checked=False, patient=False)
        self._clock = clock

    def close(self) -> None:
        """Lets go of the database."""
        self._store.close()

    def of_key(self, public_key: str) -> Person | None:
        """Returns the newest record under a key (64 hexadecimal digits); None where there is none.

        Raises:
            StoreBroken: the database cannot be read.
        """
        with self._store.read() as session:
            return person_with_key(session, public_key)

    def policy(self) -> AccessPolicy:
        """Returns the access policy in force."""
        with self._store.read() as session:
            return policy_in(session)

    def box_of(self, public_key: str) -> str | None:
        """Returns the digest of the sealed key of the account under a key; None without account."""
        with self._store.read() as session:
            named = select(AccountRow.box).filter_by(public_key=public_key, until=None)
            return session.scalars(named.limit(1)).first()

    def require(
        self,
        public_key: str,
        subject: Subject | None = None,
        identity: LinkedIdentity | None = None,
    ) -> Person:
        """Returns the person under a key who may look at a subject now, or at the dashboard at all.

        Args:
            public_key: the person's.
            subject: what is looked at; None for the dashboard itself.
            identity: by which the person logged in at a provider; None for an account.

        Raises:
            PolicyRefused: they may not.
            StoreBroken: the database cannot be read.
        """
        with self._store.read() as session:
            person, policy = person_with_key(session, public_key), policy_in(session)
            if identity is not None:
                require_linked(session, public_key, identity)
        return require_look(person, policy, subject, write_time(self._clock()))


class _Guarded:
    def __init__(self, views: Any, require: Callable[[Subject], object]) -> None:
        self._views, self._require = views, require

    def __getattr__(self, name: str) -> Any:
        if name not in SUBJECTS:
            raise PolicyRefused(f"nobody may look at {name}: it stands in no line of the guard")
        method, subject = getattr(self._views, name), SUBJECTS[name]

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if subject is not None:
                self._require(subject)
            return method(*args, **kwargs)

        return guarded


def guarded(views: _Views, require: Callable[[Subject], object]) -> _Views:
    """Returns views that check before every answer.

    Args:
        views: an object with the methods of ``Views``.
        require: raises ``PolicyRefused`` where the person may not look at a subject now.
    """
    return cast(_Views, _Guarded(views, require))
