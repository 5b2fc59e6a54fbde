"""The record of a hospital's patients: what was frozen, who left, what was deleted; signed.

Rules:

1. Entries are only ever added. Each carries the hash of the one before it and the hospital's
   signature, and the newest is listed outside the database (``listed_heads.py``).
2. An entry holds counts, digests and marks (``marks.py``), never a patient's key or value.
3. The lists of a cohort's marks are beside the entries, each by the digest that its entry
   signs: retention removes them, and the entry stays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.ledger.listed_heads import FIRST, LedgerHead
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import verify
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys, own_key
from silos.database.tables import PatientEntryRow

_DOMAIN = "patient-entry"
_NONE = "0" * 64
_NAMES = {"number", "kind", "said", "at", "public_key", "prev_hash"}


class EntryKind(StrEnum):
    """The kind of an entry."""

    #: A cohort was frozen for a study.
    FROZEN = "frozen"
    #: A run draws from a frozen cohort.
    RUN = "run"
    #: Patients left a frozen cohort.
    LEFT = "left"
    #: Patients' records are to be used no more, in any study.
    OPTED_OUT = "opted out"
    #: Something was deleted, for it was old enough.
    DELETED = "deleted"


@dataclass(frozen=True, kw_only=True)
class PatientEntry:
    """One entry; ``said`` depends on its kind."""

    number: int
    kind: EntryKind
    said: Mapping[str, Any]
    at: str
    public_key: str
    prev_hash: str


class PatientEntries:
    """The entries in a hospital's database."""

    def __init__(self, hospital: SiteDatabase) -> None:
        self._hospital = hospital

    def append(
        self,
        kind: EntryKind,
        said: Mapping[str, Any],
        *,
        beside: Callable[[Session, int], None] = lambda _session, _number: None,
    ) -> PatientEntry:
        """Adds an entry, durably, and with it what ``beside`` writes: both or neither.

        Raises:
            StoreBroken: it cannot be written.
        """
        with self._hospital.session() as session:
            last = session.scalars(_newest_first()).first()
            own = own_key(session, self._hospital.keys)
            written: dict[str, Any] = {
                "number": last.number + 1 if last else 1,
                "kind": kind.value,
                "said": dict(said),
                "at": self._hospital.now(),
                "public_key": own.public.hex(),
                "prev_hash": last.hash if last else _NONE,
            }
            document = canonical(written)
            row = PatientEntryRow(
                number=written["number"],
                kind=kind.value,
                document=document,
                prev_hash=written["prev_hash"],
                hash=digest(document),
                signature=own.sign(_DOMAIN, document),
            )
            session.add(row)
            session.flush()
            beside(session, row.number)
            head = LedgerHead(number=row.number, hash=row.hash)
        self._hospital.patient_heads.append(head)
        return _read(written["number"], document)

    def all(self) -> tuple[PatientEntry, ...]:
        """Returns every entry in order, after checking that none was changed or removed.

        Raises:
            StoreBroken: names the first that was.
        """
        newest = self._hospital.patient_heads.newest()  # first: it never names what is to come
        rows = self._rows(0)
        entries = self._chained(rows, 0, _NONE)
        if newest.number and newest.hash not in {row.hash for row in rows}:
            raise StoreBroken(
                f"entry {newest.number} about patients, the newest, is not in the database: it was "
                "removed, or the database is an older copy, and patients may have opted out since. "
                "Restore the newest copy; if there is none: collegium silo restored"
            )
        return entries

    def since(self, number: int) -> tuple[PatientEntry, ...]:
        """Returns the entries after one, after checking that each follows the one before it.

        Raises:
            StoreBroken: one was changed, or the entry itself is gone.
        """
        rows = self._rows(max(0, number - 1))
        if number and (not rows or rows[0].number != number):
            raise _broken(number, "is gone")
        before = rows[0].prev_hash if rows else _NONE
        entries = self._chained(rows, max(0, number - 1), before)
        return tuple(entry for entry in entries if entry.number > number)

    def accept_copy(self) -> None:
        """Lets entries go on after some may have been lost.

        Raises:
            StoreBroken: what there is of them was changed, or cannot be written.
        """
        rows = self._rows(0)
        self._chained(rows, 0, _NONE)
        head = LedgerHead(number=rows[-1].number, hash=rows[-1].hash) if rows else FIRST
        self._hospital.patient_heads.restart(head)

    def _rows(self, after: int) -> Sequence[PatientEntryRow]:
        query = select(PatientEntryRow).where(PatientEntryRow.number > after)
        with self._hospital.reading() as connection, Session(connection) as session:
            rows = session.scalars(query.order_by(PatientEntryRow.number)).all()
            session.expunge_all()
        return rows

    def _chained(
        self, rows: Sequence[PatientEntryRow], after: int, previous: str
    ) -> tuple[PatientEntry, ...]:
        known, found = IdentityKeys(self._hospital).public(), list[PatientEntry]()
        for number, row in enumerate(rows, start=after + 1):
            entry = _read(number, row.document)
            if (row.number, entry.number, entry.prev_hash) != (number, number, previous):
                raise _broken(number, "does not follow the one before it")
            if entry.public_key not in known:
                raise _broken(number, "is signed with a key that was never this hospital's")
            if row.hash != digest(row.document) or row.kind != entry.kind.value:
                raise _broken(number, "was changed")
            try:
                verify(bytes.fromhex(entry.public_key), _DOMAIN, row.document, row.signature)
            except MessageRefused as error:
                raise _broken(number, "was changed") from error
            previous = row.hash
            found.append(entry)
        return tuple(found)


def _read(number: int, document: bytes) -> PatientEntry:
    try:
        written = parse_canonical(document)
        if not isinstance(written, Mapping) or written.keys() != _NAMES:
            raise _broken(number, "was changed")
        fields: dict[str, Any] = dict(written)
        return PatientEntry(**fields | {"kind": EntryKind(fields["kind"])})
    except (MessageRefused, ValueError) as error:
        raise _broken(number, "was changed") from error


def _newest_first() -> Any:
    return select(PatientEntryRow).order_by(PatientEntryRow.number.desc()).limit(1)


def _broken(number: int, what: str) -> StoreBroken:
    return StoreBroken(f"entry {number} about patients {what}: restore the hospital's database")
