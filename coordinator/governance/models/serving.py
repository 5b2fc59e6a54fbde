"""Statements of serving in the register: what a hospital signed that it served, taken into the log.

Rules:

1. A statement is taken once. It is this consortium's, signed with the key that the newest roster
   has for the hospital, names snapshots that are known here, and covers no time that another
   statement of the hospital covers.
2. It is an event of every model whose versions it names, or of which the hospital was to serve one
   in the time that it covers. The event's row holds the statement as it was signed.
3. The register says beside each other what the hospital was to serve and what it stated; nothing
   that is stated moves a version.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import NewEntry
from compliance.governance.acts import MAX_SKEW
from compliance.governance.models.serving import versions_of
from compliance.governance.models.stages import EventKind, ModelLine
from coordinator.database.store import RunRow, Store, Transaction
from coordinator.governance.governance import Authorised
from coordinator.governance.models.lines import MODEL_ENTRY, line_of, lines_in
from coordinator.governance.models.tables import ModelEventRow, SignedSnapshotRow
from coordinator.membership.tables import RosterRow
from coordinator.membership.transactions import newest_roster
from protocol.codec import base64_bytes
from protocol.encoding import digest
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import Roster, SigningKey, parse_roster
from protocol.identity.timestamps import read_time
from protocol.transport.serving_statement import (
    MAX_STATEMENT,
    ServingStatement,
    SignedServing,
    parse_serving_statement,
)

_DOCUMENT = base64_bytes(MAX_STATEMENT)


def serving_payload(data: bytes) -> dict[str, Any]:
    """Returns what travels beside an act that takes a statement."""
    return {"statement": _DOCUMENT.write(data)}


class ServingRegister:
    """The statements of serving of one consortium.

    Args:
        store: the consortium's database.
        key: signs the log; its public half names the consortium.
    """

    def __init__(self, store: Store, key: SigningKey) -> None:
        self._store, self._key = store, key

    def take(self, taken: Authorised, beside: Mapping[str, Any]) -> dict[str, Any]:
        """Takes a hospital's statement into the log.

        The act is about the hospital, and names in ``statement`` the SHA-256 of what travels beside
        it: the signed statement.

        Raises:
            MessageRefused: it is another statement than the act names, of another consortium or
                hospital, or the hospital did not sign it.
            PolicyRefused: the hospital is not in the roster, the statement was taken before, covers
                a time that another one covers or that is still to come, a snapshot is unknown, or
                no model of the register is concerned.
        """
        data = _DOCUMENT.read(beside.get("statement"))
        if digest(data) != taken.request.details.get("statement"):
            raise MessageRefused("the statement is not the one whose SHA-256 the act names")
        signed = parse_serving_statement(data)
        said = signed.statement
        if said.site != taken.request.subject:
            raise MessageRefused(f"the statement is {said.site}'s, not {taken.request.subject}'s")
        if said.coordinator != self._key.public.hex():
            raise MessageRefused("the statement is for another consortium's register")
        if read_time(said.until) > read_time(taken.at) + MAX_SKEW:
            raise PolicyRefused(
                f"the statement covers a time that is still to come ({said.until}): one of the two "
                "clocks is wrong"
            )
        with self._store.transaction() as transaction:
            session = transaction.session
            signed.require_signed(_key_of(session, said.site))
            _require_new(said, statements_in(session, said.site))
            _require_known(session, said)
            concerned = _concerned(session, said)
            entries = [
                self._entry(transaction, line, version, signed, taken)
                for line, version in concerned.items()
            ]
            transaction.log(entries, self._key)
        return {
            "site": said.site,
            "number": said.number,
            "statement": said.digest,
            "since": said.since,
            "until": said.until,
            "models": list(concerned),
        }

    def _entry(
        self,
        transaction: Transaction,
        line: str,
        version: str,
        signed: SignedServing,
        taken: Authorised,
    ) -> NewEntry:
        row = ModelEventRow(
            line=line,
            kind=EventKind.SERVED_STATED,
            version=version,
            at=taken.at,
            sites_json=json.dumps([signed.statement.site]),
            alias="",
            by=taken.person,
            reason=signed.to_bytes().decode(),
            act=taken.act or "",
        )
        kind = f"{MODEL_ENTRY}{EventKind.SERVED_STATED}"
        return NewEntry(type=kind, run_id=None, payload=version, record=transaction.write(row))


def statements_in(
    session: Session, site: str | None = None, line: str | None = None
) -> tuple[SignedServing, ...]:
    """Returns the statements that were taken, each once, in the order of the log.

    Args:
        session: of the consortium's database.
        site: only this hospital's.
        line: only those about this model.

    Raises:
        StoreBroken: one was changed.
    """
    query = select(ModelEventRow).filter_by(kind=EventKind.SERVED_STATED.value)
    if line is not None:
        query = query.filter_by(line=line)
    found: dict[str, SignedServing] = {}
    for row in session.scalars(query.order_by(ModelEventRow.id)):
        signed = _statement_of(row)
        if site in (None, signed.statement.site):
            found.setdefault(signed.statement.digest, signed)
    return tuple(found.values())


def check_statements(session: Session, public: bytes) -> None:
    """Checks every statement of serving: whose it is, its signature, that no two cover one time.

    A hospital may have had other keys since: each that a roster of the records has for it counts.

    Args:
        session: reads the database.
        public: the log's key.

    Raises:
        StoreBroken: one is not what a hospital signed.
    """
    found = statements_in(session)
    rosters = _all_rosters(session) if found else []
    for place, signed in enumerate(found):
        said = signed.statement
        name = f"statement {said.number} of {said.site} about what it served"
        if said.coordinator != public.hex():
            raise StoreBroken(f"{name} is of another consortium")
        keys = {one.key_of(said.site) for one in rosters if said.site in one.sites}
        if not any(_is_signed(signed, key) for key in keys):
            raise StoreBroken(f"{name} is not signed by a key that a roster has for the hospital")
        for earlier in (one.statement for one in found[:place]):
            if earlier.site == said.site and earlier.overlaps(said):
                raise StoreBroken(f"{name} covers a time that statement {earlier.number} covers")


def _statement_of(row: ModelEventRow) -> SignedServing:
    try:
        return parse_serving_statement(row.reason.encode())
    except MessageRefused as error:
        raise StoreBroken(
            f"event {row.id} of model {row.line}: the statement of serving was changed: {error}"
        ) from error


def _key_of(session: Session, site: str) -> bytes:
    """Returns a hospital's key by the newest roster; of simulations, by that of the newest run."""
    signed = newest_roster(session)
    if signed is not None:
        roster = signed.roster
    else:
        query = select(RunRow.roster_json).order_by(RunRow.started_at.desc(), RunRow.id.desc())
        document = session.scalars(query.limit(1)).first()
        if document is None:
            raise PolicyRefused("no roster names any hospital here: nothing can be verified")
        roster = parse_roster(document.encode())
    if site not in roster.sites:
        raise PolicyRefused(f"{site} is not in the roster: nobody knows its key")
    return roster.key_of(site)


def require_known(session: Session, site: str) -> None:
    """Refuses a hospital that no roster of the records names.

    Raises:
        PolicyRefused: it is named by none.
    """
    known = sorted({name for roster in _all_rosters(session) for name in roster.sites})
    if site not in known:
        raise PolicyRefused(f"{site}: no hospital of this consortium; there are {', '.join(known)}")


def _all_rosters(session: Session) -> list[Roster]:
    documents = set(session.scalars(select(RunRow.roster_json)))
    rosters = [parse_roster(document.encode()) for document in sorted(documents)]
    return rosters + [row.signed.roster for row in session.scalars(select(RosterRow))]


def _is_signed(signed: SignedServing, key: bytes) -> bool:
    try:
        signed.require_signed(key)
    except MessageRefused:
        return False
    return True


def _require_new(said: ServingStatement, known: Sequence[SignedServing]) -> None:
    """Refuses a statement that was taken, or contradicts or repeats one that was.

    Raises:
        PolicyRefused: it does; says with which.
    """
    for one in (each.statement for each in known):
        if one.digest == said.digest:
            raise PolicyRefused(f"statement {said.number} of {said.site} was taken already")
        if one.number == said.number:
            raise PolicyRefused(
                f"another statement {said.number} of {said.site} was taken: a hospital makes one "
                "of a number. Was its folder restored from a backup? It states what follows with "
                f"collegium infer statement --since {one.until}"
            )
        if one.overlaps(said):
            raise PolicyRefused(
                f"statement {one.number} of {said.site} covers {one.since} to {one.until}: a "
                "hospital states each time once"
            )
        if (one.number < said.number) != (one.until <= said.since):
            raise PolicyRefused(
                f"statement {said.number} of {said.site} covers an earlier time than its number "
                f"says: statement {one.number} covers {one.since} to {one.until}"
            )


def _require_known(session: Session, said: ServingStatement) -> None:
    """Refuses a statement that names a snapshot which is not in the records.

    Raises:
        PolicyRefused: it does.
    """
    named = {one.snapshot for one in said.periods if one.snapshot is not None}
    table = SignedSnapshotRow
    known = set(session.scalars(select(table.digest).where(table.digest.in_(sorted(named)))))
    unknown = sorted(named - known)
    if unknown:
        raise PolicyRefused(
            f"the statement names a snapshot that is unknown here: {unknown[0]}. Was the model of "
            "another consortium?"
        )


def _concerned(session: Session, said: ServingStatement) -> dict[str, str]:
    """Returns the models that a statement is about, each with a version that it is about.

    Raises:
        PolicyRefused: it is about none.
    """
    found: dict[str, str] = {}
    for line in (line_of(session, name) for name in lines_in(session)):
        known = versions_of(line)
        stated = [one.snapshot for one in said.periods if one.snapshot in known]
        expected = _expected_in(line, said)
        version = stated[-1] if stated else expected
        if version is not None:
            found[line.name] = version
    if not found:
        raise PolicyRefused(
            f"the statement of {said.site} is about no model of the register: it names none, and "
            "the hospital was to serve none. models register first"
        )
    return found


def _expected_in(line: ModelLine, said: ServingStatement) -> str | None:
    """Returns a version that a hospital was to serve in the time of its statement, if any."""
    times = [said.since, *(one.time for one in line.events), said.until]
    for time in reversed([one for one in times if said.since <= one <= said.until]):
        version = line.at(time).served_at(said.site)
        if version is not None:
            return version
    return None
