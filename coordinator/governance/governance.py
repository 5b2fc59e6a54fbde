"""The one place where rights are checked: an act is taken, refused, or waits for a second person.

Rules:

1. While nobody was ever registered the consortium is founding: everything works as it did without
   people, and is attributed to nobody. From the first administrator on every act needs a person.
2. An act is written down before what it asks for is done, and once more with what came of it. One
   that is refused is written down too.
3. An administrator is founded again only where nobody's key is good any more who could add people;
   that stands in the log, and is said.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import NewEntry
from compliance.governance.acts import (
    ActRequest,
    SignedAct,
    read_request,
    read_signed_act,
    require_right,
    require_time,
)
from compliance.governance.people import (
    ALONE,
    Person,
    Role,
    others_who_confirm,
    plain_name,
)
from compliance.governance.two_person import (
    Change,
    ChangeState,
    propose,
    require_second,
    require_waiting,
)
from compliance.storage.clock import Clock, utc_now
from coordinator.database.store import Store, Transaction
from coordinator.governance.people_register import (
    PeopleWriter,
    is_founded,
    is_governed,
    people_in,
    person_with_key,
    policy_in,
)
from coordinator.governance.tables import ActRow, ChangeRow
from protocol.encoding import canonical
from protocol.errors import FederationError, MessageRefused, PolicyRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time

#: The act by which the first administrator registers; it stands in no policy.
FOUND = "person.found"
#: The beginning of the type of an entry about an act; what came of it follows.
ACT_ENTRY = "act-"
#: What nobody does unsigned, either: whose word would it be?
_SIGNED_ALWAYS = ("person.", "policy.", "change.", "model.promote", "run.deviate")
_MAX_REASON = 1000


@dataclass(frozen=True, kw_only=True)
class Authorised:
    """An act that was taken: what is to be done now, for whom, and in which role.

    ``act_id`` and ``act`` (its digest) are None while the consortium is founding; ``change`` is the
    number of the change that it confirmed or proposed. ``waits`` where a second person is needed.
    """

    request: ActRequest
    at: str
    person: str = ""
    role: str = ""
    act_id: int | None = None
    act: str | None = None
    change: int | None = None
    waits: bool = False


class Governance:
    """The register of acts over one consortium's database.

    Args:
        store: the consortium's database.
        key: signs the log; its public half names the consortium.
        clock: says what time it is.
    """

    def __init__(self, store: Store, key: SigningKey, clock: Clock = utc_now) -> None:
        self._store, self._key, self._clock = store, key, clock

    def standing(self) -> dict[str, Any]:
        """Returns what whoever signs an act has to know, as JSON: people, policy, consortium."""
        now = write_time(self._clock())
        with self._store.read() as session:
            policy = policy_in(session)
            return {
                "governed": is_governed(session),
                "founded": is_founded(session, now),
                "consortium": self._key.public.hex(),
                "policy": policy.to_json(),
                "policy_digest": policy.digest,
                "people": [person.to_json() for person in people_in(session)],
            }

    def authorise(self, asked: Mapping[str, Any]) -> Authorised:
        """Takes an act, or a wish in a consortium that is founding.

        Args:
            asked: ``signed``, an act as ``SignedAct.to_json`` has it; or ``request``, a wish as
                ``ActRequest.to_json`` has it.

        Raises:
            PolicyRefused, MessageRefused: it is refused; that is written down where it was signed.
        """
        if asked.get("signed") is None:
            return self._unsigned(read_request(asked.get("request")))
        signed = read_signed_act(asked["signed"])
        try:
            with self._store.transaction() as transaction:
                return self._taken(transaction, signed)
        except (PolicyRefused, MessageRefused) as error:
            self._refuse(signed, str(error))
            raise

    def finish(
        self, done: Authorised, failure: FederationError | None = None, result: Any = None
    ) -> None:
        """Writes down what came of an act; ``result`` may name the run that it is about."""
        if done.act_id is None or done.waits:
            return
        with self._store.transaction() as transaction:
            row = transaction.session.get_one(ActRow, done.act_id)
            row.outcome = "done" if failure is None else "failed"
            if failure is not None:
                row.reason, row.effects = str(failure)[:_MAX_REASON], ""
            if isinstance(result, Mapping) and isinstance(result.get("run_id"), str):
                row.run_id = result["run_id"]
            entries = [_act_entry(transaction, row)]
            if failure is not None and done.change is not None:
                change = transaction.session.get_one(ChangeRow, done.change)
                change.state, change.failure = ChangeState.FAILED, str(failure)[:_MAX_REASON]
                entries.append(_entry(transaction, "change-failed", change))
            transaction.log(entries, self._key)

    def _unsigned(self, request: ActRequest) -> Authorised:
        with self._store.read() as session:
            governed = is_governed(session)
        if governed:
            raise PolicyRefused(
                f"{request.action} needs a person here: --as KEYFILE, or COLLEGIUM_PERSON_KEY, "
                "says who does it"
            )
        if request.action.startswith(_SIGNED_ALWAYS):
            raise PolicyRefused(
                f"{request.action} needs a person: the first administrator registers before "
                "(collegium people found)"
            )
        return Authorised(request=request, at=write_time(self._clock()))

    def _taken(self, transaction: Transaction, signed: SignedAct) -> Authorised:
        session, now = transaction.session, self._clock()
        request = signed.act.request
        if request.action == FOUND:
            return self._founded(transaction, signed)
        person = person_with_key(session, signed.act.public_key)
        policy, time = policy_in(session), write_time(now)
        role = require_right(
            signed,
            person,
            policy,
            consortium=self._key.public.hex(),
            now=now,
            seen=_is_seen(session, signed),
        )
        if person is None:
            raise PolicyRefused("nobody is registered under this key")
        row = _act_row(signed, time, role)
        taken = Authorised(request=request, at=time, person=person.name, role=role)
        entries: list[NewEntry] = []
        if request.action in ("change.confirm", "change.withdraw"):
            taken, role = self._decided(transaction, taken, person, role, entries)
            row.role, row.effects = role, taken.request.action
        elif self._is_alone(session, request, person, time):
            row.reason = "nobody else could confirm it"
        elif policy.right(request.action).second is not None:
            change = _waiting(session, propose(request, person, policy, time), time)
            change.proposed_at = time
            entries.append(_entry(transaction, "change-proposed", change))
            row.outcome, row.effects = "proposed", ""
            taken = replace(taken, change=change.id, waits=True)
        entries.insert(0, _act_entry(transaction, row))
        transaction.log(entries, self._key)
        return replace(taken, role=role, act_id=row.id, act=row.digest)

    def _is_alone(self, session: Session, request: ActRequest, person: Person, time: str) -> bool:
        """Whether a person adds people alone, for nobody else's key is good who could confirm."""
        others = others_who_confirm(people_in(session), person.name, time)
        return request.action in ALONE and not others

    def _founded(self, transaction: Transaction, signed: SignedAct) -> Authorised:
        session, now = transaction.session, self._clock()
        act = signed.act
        signed.require_signed()
        require_time(act.time, now)
        if act.consortium != self._key.public.hex() or _is_seen(session, signed):
            raise MessageRefused("the act is of another consortium, or was done before")
        if is_founded(session, write_time(now)):
            raise PolicyRefused(
                "the consortium has people already: they propose and confirm others (collegium "
                "people propose)"
            )
        own = (plain_name(act.person), act.public_key)
        if (act.request.subject, act.request.details.get("key")) != own or act.person != own[0]:
            raise PolicyRefused("the first administrator registers their own name and key")
        row = _act_row(signed, write_time(now), Role.ADMINISTRATOR)
        row.effects = "person.refound" if is_governed(session) else FOUND
        writer = PeopleWriter(transaction, now)
        writer.keep_first_policy()
        writer.add(act.request, row.digest)
        row.outcome = "done"
        transaction.log([_act_entry(transaction, row), *writer.entries], self._key)
        return Authorised(
            request=act.request, at=row.at, person=act.person, role=Role.ADMINISTRATOR,
            act=row.digest,
        )  # fmt: skip

    def _decided(
        self,
        transaction: Transaction,
        taken: Authorised,
        person: Person,
        role: Role,
        entries: list[NewEntry],
    ) -> tuple[Authorised, Role]:
        """Confirms or withdraws a change; returns what is to be done now, and in which role."""
        session = transaction.session
        row = change_row(session, taken.request.subject)
        change = change_of(row)
        is_confirmed = taken.request.action == "change.confirm"
        if is_confirmed:
            digest = taken.request.details.get("digest")
            if digest != row.request_digest:
                raise PolicyRefused("what was confirmed is not what the change says: look again")
            role = require_second(change, person, policy_in(session), taken.at)
            self._require_proposer(session, change, taken.at)
            taken = replace(taken, request=change.request, change=row.id)
        else:
            require_waiting(change, taken.at)
        row.state = ChangeState.DONE if is_confirmed else ChangeState.WITHDRAWN
        row.decided_by, row.decided_at = person.name, taken.at
        entries.append(
            _entry(transaction, "change-confirmed" if is_confirmed else "change-withdrawn", row)
        )
        return taken, role

    def _require_proposer(self, session: Session, change: Change, time: str) -> None:
        """Checks that the proposer of a change still has the right to: it may have ended."""
        proposer = person_with_key(session, change.proposed_key)
        if proposer is None:
            raise PolicyRefused(f"{change.proposed_by} is not registered any more")
        proposer.require_usable(time)
        policy_in(session).role_for(proposer, change.request.action)

    def _refuse(self, signed: SignedAct, why: str) -> None:
        """Writes down a refused act, with what it claims."""
        with self._store.transaction() as transaction:
            row = _act_row(signed, write_time(self._clock()), None)
            row.outcome, row.effects, row.reason = "refused", "", why[:_MAX_REASON]
            transaction.log([_act_entry(transaction, row)], self._key)


def change_of(row: ChangeRow) -> Change:
    """Returns the change that a row holds."""
    return Change(
        request=read_request(json.loads(row.request_json)),
        proposed_by=row.proposed_by,
        proposed_key=row.proposed_key,
        expires=row.expires,
        state=ChangeState(row.state),
    )


def asked_for(asked: Mapping[str, Any]) -> ActRequest:
    """Returns what is asked for, signed or not; nothing of a signature is checked here.

    Raises:
        MessageRefused: it has another form.
    """
    if asked.get("signed") is None:
        return read_request(asked.get("request"))
    return read_signed_act(asked["signed"]).act.request


def changes_in(session: Session, *, decided: bool = False) -> list[ChangeRow]:
    """Returns the changes that nobody decided, in order; with ``decided`` those that were, too."""
    query = select(ChangeRow).order_by(ChangeRow.id)
    if not decided:
        query = query.filter_by(state=ChangeState.PROPOSED)
    return list(session.scalars(query))


def change_row(session: Session, number: str) -> ChangeRow:
    """Returns the row of a change by its number.

    Raises:
        PolicyRefused: there is none.
    """
    row = session.get(ChangeRow, int(number)) if number.isdecimal() and len(number) < 10 else None
    if row is None:
        raise PolicyRefused(f"there is no change {number}: collegium people list")
    return row


def _waiting(session: Session, change: Change, time: str) -> ChangeRow:
    """Returns the row of a new change.

    Raises:
        PolicyRefused: one that says the same waits already.
    """
    digest = change.request.digest
    query = select(ChangeRow).filter_by(request_digest=digest, state=ChangeState.PROPOSED)
    for row in session.scalars(query):
        if change_of(row).state_at(time) is ChangeState.PROPOSED:
            raise PolicyRefused(
                f"change {row.id} says the same, proposed by {row.proposed_by}: another person "
                f"confirms it (collegium people confirm {row.id})"
            )
    return ChangeRow(
        request_json=canonical(change.request.to_json()).decode(),
        request_digest=digest,
        proposed_by=change.proposed_by,
        proposed_key=change.proposed_key,
        expires=change.expires,
        state=ChangeState.PROPOSED,
    )


def _act_row(signed: SignedAct, at: str, role: Role | None) -> ActRow:
    act, request = signed.act, signed.act.request
    run = request.subject if request.subject_kind == "run" else request.details.get("run")
    return ActRow(
        at=at,
        person=act.person[:100],
        public_key=act.public_key,
        role=role,
        action=request.action,
        subject_kind=request.subject_kind,
        subject=request.subject,
        run_id=run if isinstance(run, str) and len(run) <= 32 else None,
        details_json=canonical(request.to_json()["details"]).decode(),
        policy=act.policy,
        salt=act.salt,
        digest=act.digest,
        outcome="allowed",
        effects=request.action,
        document=act.canonical_bytes,
        signature=signed.signature,
    )


def _act_entry(transaction: Transaction, row: ActRow) -> NewEntry:
    record = transaction.write(row)
    return NewEntry(
        type=f"{ACT_ENTRY}{row.outcome}", run_id=None, payload=row.digest, record=record
    )


def _entry(transaction: Transaction, kind: str, row: ChangeRow) -> NewEntry:
    record = transaction.write(row)
    return NewEntry(type=kind, run_id=None, payload=record, record=record)


def _is_seen(session: Session, signed: SignedAct) -> bool:
    query = select(ActRow.id).filter_by(salt=signed.act.salt, public_key=signed.act.public_key)
    return session.scalars(query.limit(1)).first() is not None
