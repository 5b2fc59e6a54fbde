"""The identity keys of one hospital: its own, the next one, and those that it had.

Rules:

1. A hospital signs with one key, its own. The next one is kept before anybody
   hears of it, and becomes the own key in the transaction that trusts a roster
   which names it: whatever is cut off, one of the two is known and kept.
2. Until then the hospital cannot know which of the two the coordinator already
   goes by, so on the line it may show either.
3. A run that began with the key before goes on with it. Its private half is
   forgotten when no such run is open any more.
4. Public halves stay for ever: approvals, and words that others have kept, were
   signed with them.

The database knows public halves and which of them is what; private halves are
files (``private_keys.py``), kept before the database names them and removed
after it has ceased to.
"""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from protocol.errors import PolicyRefused
from protocol.identity.roster import SigningKey
from silos.database.database import SiteDatabase
from silos.database.private_keys import PrivateKeys
from silos.database.tables import FormerKeyRow, HospitalRow, JoinedRunRow, RunState


class IdentityKeys:
    """The keys that a hospital's database names."""

    def __init__(self, hospital: SiteDatabase) -> None:
        self._hospital = hospital

    @property
    def own(self) -> SigningKey:
        """The key with which the hospital signs."""
        return SigningKey.from_bytes(self._hospital.identity_key)

    @property
    def next(self) -> SigningKey | None:
        """The key that a roster has yet to name, or None."""
        with self._hospital.session() as session:
            return next_key(session, self._hospital.keys)

    def public(self) -> frozenset[str]:
        """Returns every public key (hexadecimal) that is or was this hospital's own."""
        with self._hospital.reading() as connection:
            own = connection.execute(select(HospitalRow.identity_key)).scalar_one()
            return frozenset(connection.execute(select(FormerKeyRow.public_key)).scalars()) | {own}

    def former(self) -> tuple[str, ...]:
        """Returns the public keys that this hospital had, oldest first."""
        with self._hospital.session() as session:
            query = select(FormerKeyRow).order_by(FormerKeyRow.retired_at, FormerKeyRow.public_key)
            return tuple(row.public_key for row in session.scalars(query))

    def of_run(self, public: bytes) -> SigningKey:
        """Returns the key that a run's roster names for this hospital.

        Raises:
            PolicyRefused: it is neither the own key nor the one before it.
        """
        with self._hospital.session() as session:
            row = session.get_one(HospitalRow, 1)
            known = (row.identity_key, row.last_identity_key)
        if public.hex() not in known:
            raise PolicyRefused("the run's roster names a key that this hospital does not have")
        return self._hospital.keys.identity(public.hex())

    def make_next(self) -> SigningKey:
        """Returns the next key, made and kept if there is none yet.

        Raises:
            PolicyRefused: a run that began with the key before this one is still open.
        """
        with self._hospital.session() as session:
            row = session.get_one(HospitalRow, 1)
            if row.last_identity_key is not None:
                raise PolicyRefused(
                    "a run that began with the key before this one is still open: rotate again "
                    "when it has ended"
                )
            if row.next_identity_key is not None:
                return self._hospital.keys.identity(row.next_identity_key)
            key = SigningKey.generate()
            self._hospital.keys.keep_identity(key)
            row.next_identity_key = key.public.hex()
            return key

    def remember(self, publics: Iterable[str]) -> None:
        """Takes public keys that a chain of rosters gave this hospital for former ones."""
        known = self.public()
        with self._hospital.session() as session:
            for public in sorted(set(publics) - known):
                session.add(FormerKeyRow(public_key=public, retired_at=self._hospital.now()))

    def forget_former(self) -> None:
        """Removes the private halves of former keys with which no open run began.

        A key that this database never knew is left alone: an old backup must not cost
        the hospital its newest key.
        """
        with self._hospital.session() as session:
            row = session.get_one(HospitalRow, 1)
            if row.last_identity_key is not None and not _has_open_runs(session):
                row.last_identity_key = None
            needed = {row.identity_key, row.next_identity_key, row.last_identity_key}
        for public in self.former():
            if public not in needed:
                self._hospital.keys.forget_identity(public)


def next_key(session: Session, keys: PrivateKeys) -> SigningKey | None:
    """Returns the key that a roster has yet to name, or None."""
    public = session.get_one(HospitalRow, 1).next_identity_key
    return None if public is None else keys.identity(public)


def own_key(session: Session, keys: PrivateKeys) -> SigningKey:
    """Returns the key with which the hospital signs."""
    return keys.identity(session.get_one(HospitalRow, 1).identity_key)


def replace_key(session: Session, public: str, now: str) -> None:
    """Makes a kept key the hospital's own; the one before it is a former key from now on."""
    row = session.get_one(HospitalRow, 1)
    session.add(FormerKeyRow(public_key=row.identity_key, retired_at=now))
    row.last_identity_key = row.identity_key if _has_open_runs(session) else None
    row.identity_key, row.next_identity_key = public, None


def _has_open_runs(session: Session) -> bool:
    query = select(JoinedRunRow.run_id).filter_by(state=RunState.JOINED.value).limit(1)
    return session.scalars(query).first() is not None
