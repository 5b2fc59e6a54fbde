"""Holds what was done to the acts of people: each is signed, by whoever had the right to it then.

Rules:

1. An act's row says what the signed bytes say, and the signature is the person's. The person, the
   key, the role and the policy were in force when the service took it: in the order of the log, for
   a clock may have been set back.
2. A change was confirmed by another person than who proposed it, who had the right to, and both
   signed exactly it. Each record of a person, and each policy, is what they signed.
3. From the first administrator on, what only people may do (``_GOVERNED``) stands in the log
   between the two entries of an act that allows it: whoever changes the database without the
   service, or with the log's key alone, is found here.

Refused acts are claims: that they were made is logged, nothing else of them is checked.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.acts import Act, ActRequest, SignedAct, read_act, require_time
from compliance.governance.incidents.course import Incident, IncidentState, IncidentStep
from compliance.governance.people import (
    ALONE,
    FIRST_POLICY,
    AccessPolicy,
    Person,
    others_who_confirm,
    read_kept_policy,
    same_name,
)
from compliance.governance.two_person import Change, ChangeState, require_second
from coordinator.audit.faults import Faults
from coordinator.database.alert_tables import AlertRow
from coordinator.database.store import RunRow
from coordinator.governance.accounts import AccountRow, IdentityLinkRow, IdentityLoginRow
from coordinator.governance.governance import (
    ACT_ENTRY,
    FOUND,
    change_of,
    change_row,
    changes_in,
)
from coordinator.governance.incident_register import incident_of
from coordinator.governance.people_register import person_of, policy_of
from coordinator.governance.tables import ActRow, HoldRow, IncidentRow, PersonRow, PolicyRow
from protocol.encoding import canonical, digest, digest_json, parse_canonical
from protocol.errors import PolicyRefused, StoreBroken
from protocol.identity.timestamps import read_time
from protocol.log.entry import LogEntry

_PEOPLE = frozenset({"person.add", "person.roles", FOUND, "person.refound"})
#: Of what is not refused and does not wait for a second person.
_CARRIED_OUT = frozenset({"done", "failed", "allowed"})
_INCIDENT = frozenset(
    f"incident.{step}" for step in ("open", "contain", "confirm", "notify", "close")
)
#: By the type of an entry the acts of which one must allow it.
_GOVERNED: Mapping[str, frozenset[str]] = {
    "study-registered": frozenset({"study.register", "run.start"}),
    "invited": frozenset({"hospital.invite"}),
    "revoked": frozenset({"hospital.revoke", "incident.contain"}),
    "roster-proposed": frozenset({"roster.propose"}),
    "person-added": _PEOPLE,
    "person-ended": _PEOPLE | {"person.retire"},
    "person-suspended": frozenset({"incident.contain"}),
    "policy-changed": frozenset({"policy.change", FOUND}),
    "hold-placed": frozenset({"hold.place"}),
    "hold-lifted": frozenset({"hold.lift"}),
    "account-set": frozenset({"account.set"}),
    "account-ended": frozenset({"account.set", "account.remove"}),
    "identity-linked": frozenset({"account.link"}),
    "identity-unlinked": frozenset({"account.unlink"}),
    **{
        f"{kind}-{state}": _INCIDENT
        for kind in ("incident", "drill")
        for state in ("opened", "contained", "confirmed", "notified", "closed")
    },
}


@dataclass(frozen=True, kw_only=True)
class _PersonRecord:
    """A person's record, and the entries of the log that added, suspended and ended it."""

    person: Person
    added: int
    suspended: int | None
    ended: int | None

    def as_of(self, seq: int) -> Person | None:
        """Returns the record as it was at an entry; None where it did not hold."""
        if seq < self.added or (self.ended is not None and self.ended < seq):
            return None
        was_suspended = self.suspended is not None and self.suspended < seq
        suspended = self.person.suspended if was_suspended else None
        return replace(self.person, until=None, suspended=suspended)


@dataclass(frozen=True, kw_only=True)
class _History:
    """All records of people, and from which entry each policy was in force."""

    people: tuple[_PersonRecord, ...]
    policies: tuple[tuple[int, AccessPolicy], ...]

    def people_at(self, seq: int) -> tuple[Person, ...]:
        """Returns the people whose records held at an entry."""
        found = (record.as_of(seq) for record in self.people)
        return tuple(person for person in found if person is not None)

    def policy_at(self, seq: int) -> AccessPolicy:
        """Returns the policy in force at an entry."""
        return [policy for since, policy in self.policies if since < seq][-1]


class _Windows:
    """The parts of the log within which acts of one effect were carried out."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._furthest: list[int] = []  # the last entry of any window so far

    def add(self, first: int, last: int) -> None:
        """Adds a window, from its first entry to its last; in the order of the first ones."""
        before = self._furthest[-1] if self._furthest else -1
        self._firsts.append(first)
        self._furthest.append(max(before, last))

    def covers(self, seq: int) -> bool:
        """Whether an entry lies in any window."""
        place = bisect_right(self._firsts, seq) - 1
        return place >= 0 and seq <= self._furthest[place]


def check_acts(
    session: Session,
    entries: Sequence[LogEntry],
    sizes: Sequence[int],
    public: bytes,
    faults: Faults,
) -> int:
    """Checks every act, change and governed entry; returns how many acts were taken.

    Args:
        session: reads the database.
        entries: the whole log, in order.
        sizes: the sizes of the signed heads, in order: what was logged at once.
        public: the log's key.
        faults: takes what is found wrong.
    """
    rows = session.scalars(select(ActRow).order_by(ActRow.id)).all()
    history = _history(session, entries, faults)
    if not rows and not history.people:
        return 0
    taken = _taken_at(entries)
    for row in rows:
        if row.outcome != "refused":
            with faults.checking(f"act {row.id}"):
                _check_act(row, taken, history, public)
    _check_changes(session, rows, taken, history, faults)
    with faults.checking("the records of people"):
        _check_people(session, rows, history, faults)
    with faults.checking("the incidents"):
        _check_incidents(session, rows, history, faults)
    with faults.checking("the legal holds"):
        _check_holds(session, rows, history, faults)
    with faults.checking("the accounts"):
        _check_accounts(session, rows, faults)
    with faults.checking("the linked identities"):
        _check_links(session, rows, entries, faults)
    _check_entries(entries, sizes, rows, faults)
    with faults.checking("the acts about runs and alerts"):
        _check_rows(session, entries, rows, faults)
    return len(taken)


def _taken_at(entries: Sequence[LogEntry]) -> dict[str, int]:
    """Returns by its digest the first entry about each act that was taken."""
    found: dict[str, int] = {}
    for entry in entries:
        if entry.type.startswith(ACT_ENTRY) and entry.type != f"{ACT_ENTRY}refused":
            found.setdefault(entry.payload, entry.seq)
    return found


def _history(session: Session, entries: Sequence[LogEntry], faults: Faults) -> _History:
    people: list[_PersonRecord] = []
    policies = [(-1, FIRST_POLICY)]
    places = {entry.record: entry.seq for entry in entries if entry.record is not None}
    with faults.checking("the register of people"):
        for row in session.scalars(select(PersonRow).order_by(PersonRow.id)):
            people.append(_person_record(row, places))
    with faults.checking("the access policy"):
        for policy in session.scalars(select(PolicyRow).order_by(PolicyRow.version)):
            policies.append((places[policy.record], policy_of(policy)))
    return _History(people=tuple(people), policies=tuple(policies))


def _person_record(row: PersonRow, places: Mapping[str, int]) -> _PersonRecord:
    """Returns a record with the entries that wrote its row, whose earlier states follow from it."""
    added = _state_of(row, revision=1)
    suspended = None
    if row.suspended is not None:
        suspended = places[_state_of(row, revision=2, suspended=row.suspended).record]
    return _PersonRecord(
        person=person_of(row),
        added=places[added.record],
        suspended=suspended,
        ended=None if row.until is None else places[row.record],
    )


def _state_of(row: PersonRow, *, revision: int, suspended: str | None = None) -> PersonRow:
    """Returns the row as one of its earlier writes left it."""
    said = {column.name: getattr(row, column.name) for column in PersonRow.__table__.columns}
    return PersonRow(**{**said, "until": None, "suspended": suspended, "revision": revision})


def _check_act(row: ActRow, taken: Mapping[str, int], history: _History, public: bytes) -> None:
    act = read_act(row.document)
    _require_same(row, act)
    SignedAct(act=act, signature=row.signature).require_signed()
    if act.consortium != public.hex():
        raise StoreBroken(f"act {row.id} is of another consortium")
    require_time(act.time, read_time(row.at))
    seq = taken[row.digest]
    people, policy = history.people_at(seq), history.policy_at(seq)
    if act.request.action == FOUND:
        _check_founding(row, act, people, history)
        return
    known = [one for one in people if (one.name, one.public_key) == (act.person, act.public_key)]
    if not known:
        raise StoreBroken(f"act {row.id}: {act.person} had no such key at {row.at}")
    person = known[0]
    person.require_usable(row.at)
    if act.policy != policy.digest:
        raise StoreBroken(f"act {row.id} names another access policy than was in force")
    policy.role_for(person, act.request.action)
    right = policy.right(act.request.action)
    if right.second is not None and row.outcome != "proposed":
        others = others_who_confirm(people, act.person, row.at)
        if others or act.request.action not in ALONE:
            raise StoreBroken(f"act {row.id} needs a second person, and was done without one")
    if row.role not in person.roles:
        raise StoreBroken(f"act {row.id}: {act.person} was not {row.role} at {row.at}")


def _check_founding(row: ActRow, act: Act, people: Sequence[Person], history: _History) -> None:
    if others_who_confirm(people, "", row.at):
        raise StoreBroken(f"act {row.id} founds an administrator where there were people already")
    own = (act.person, act.public_key)
    if own not in {(one.person.name, one.person.public_key) for one in history.people}:
        raise StoreBroken(f"act {row.id}: {act.person} had no such key at {row.at}")


def _require_same(row: ActRow, act: Act) -> None:
    """Checks that a row says what was signed."""
    request = act.request
    said = (row.person, row.public_key, row.action, row.subject_kind, row.subject, row.policy)
    meant = (act.person, act.public_key, request.action, request.subject_kind, request.subject)
    details = canonical(request.to_json()["details"]).decode()
    if said != (*meant, act.policy) or (row.details_json, row.salt) != (details, act.salt):
        raise StoreBroken(f"act {row.id} is not what {act.person} signed")
    if row.digest != act.digest:
        raise StoreBroken(f"act {row.id} has another digest than was logged")


def _check_changes(
    session: Session,
    rows: Sequence[ActRow],
    taken: Mapping[str, int],
    history: _History,
    faults: Faults,
) -> None:
    confirmed = {(row.subject, row.person): row for row in rows if row.action == "change.confirm"
                 and row.outcome in _CARRIED_OUT}  # fmt: skip
    proposed = set()
    for row in rows:
        if row.outcome == "proposed":
            with faults.checking(f"act {row.id}"):
                proposed.add((read_act(row.document).request.digest, row.person))
    for change in changes_in(session, decided=True):
        with faults.checking(f"change {change.id}"):
            asked, name = change_of(change), f"change {change.id}"
            if (asked.request.digest, change.proposed_by) not in proposed:
                raise StoreBroken(f"{name}: {change.proposed_by} signed no such proposal")
            if change.state not in (ChangeState.DONE, ChangeState.FAILED):
                continue
            if same_name(change.proposed_by) == same_name(str(change.decided_by)):
                raise StoreBroken(f"{name} was proposed and confirmed by one person")
            second = confirmed.get((str(change.id), str(change.decided_by)))
            if second is None:
                raise StoreBroken(f"{name}: {change.decided_by} signed no confirmation")
            _check_second(asked, second, taken[second.digest], history, name)


def _check_second(asked: Change, row: ActRow, seq: int, history: _History, name: str) -> None:
    """Checks that a second person confirmed exactly this change, and had the right to."""
    act = read_act(row.document)
    if act.request.details.get("digest") != asked.request.digest:
        raise StoreBroken(f"{name}: what {row.person} confirmed is not what the change says")
    own = (act.person, act.public_key)
    person = next((p for p in history.people_at(seq) if (p.name, p.public_key) == own), None)
    if person is None:
        return  # a fault, which is told of the act
    waiting = replace(asked, state=ChangeState.PROPOSED)
    try:
        require_second(waiting, person, history.policy_at(seq), row.at)
    except PolicyRefused as error:
        raise StoreBroken(f"{name} was confirmed without the right to: {error}") from error


def _check_people(
    session: Session, rows: Sequence[ActRow], history: _History, faults: Faults
) -> None:
    """Checks that each record of a person, and each policy, is what two people, or one, signed."""
    acts = {row.digest: row for row in rows if row.outcome in _CARRIED_OUT}
    made: set[str] = set()
    keys: dict[str, str] = {}
    for row in session.scalars(select(PersonRow).order_by(PersonRow.id)):
        with faults.checking(f"the record of {row.name}"):
            if row.act not in acts or row.act in made:
                raise StoreBroken("it was made without an act of its own")
            made.add(row.act)
            _require_signed_person(row, _carried_out(session, acts[row.act]), keys)
        keys[same_name(row.name)] = row.public_key
    signed = set[str]()
    for act in acts.values():
        with faults.checking(f"act {act.id}"):
            request = _carried_out(session, act)
            if request.action == "policy.change":
                text = str(request.details.get("policy")).encode()
                policy = read_kept_policy(parse_canonical(text))  # type: ignore[arg-type]
                signed |= {digest(text), digest_json(policy.to_json())}
    for _, policy in history.policies[1:]:
        if policy.version > 1 and policy.digest not in signed:
            faults.add(f"version {policy.version} of the access policy is none that was signed")


def _carried_out(session: Session, row: ActRow) -> ActRequest:
    """Returns what an act did: what it asks for, or the change that it confirmed."""
    request = read_act(row.document).request
    if request.action != "change.confirm":
        return request
    return change_of(change_row(session, request.subject)).request


def _require_signed_person(row: PersonRow, asked: ActRequest, keys: Mapping[str, str]) -> None:
    person, name = person_of(row), same_name(row.name)
    key = asked.details.get("key") if asked.action != "person.roles" else keys.get(name)
    roles = asked.details.get("roles")
    if (
        asked.action not in ("person.add", "person.roles", FOUND)
        or same_name(asked.subject) != name
        or key != person.public_key
        or not isinstance(roles, tuple)
        or {role.strip() for role in roles} != person.roles
    ):
        raise StoreBroken("its name, key or roles are not what was signed")


def _check_incidents(
    session: Session, rows: Sequence[ActRow], history: _History, faults: Faults
) -> None:
    """Checks that each incident is as far as steps were signed, each by an act of its own."""
    acts = {row.digest: row for row in rows if row.outcome in _CARRIED_OUT}
    seconds = {(row.subject, row.person) for row in acts.values()
               if row.action == "incident.confirm"}  # fmt: skip
    since = min((record.person.since for record in history.people), default="")
    for row in session.scalars(select(IncidentRow).order_by(IncidentRow.id)):
        with faults.checking(f"incident {row.id}"):
            incident = incident_of(row)
            for step in incident.steps:
                if step.act is not None:
                    _require_signed_step(step, str(row.id), incident, acts.pop(step.act, None))
                elif step.at > since:
                    raise StoreBroken(f"incident {row.id}: a step has no act of a person")
                if step.confirmed_by and (str(row.id), step.confirmed_by) not in seconds:
                    raise StoreBroken(f"incident {row.id}: {step.confirmed_by} confirmed nothing")
            _require_reached(incident, row.id)


def _check_holds(
    session: Session, rows: Sequence[ActRow], history: _History, faults: Faults
) -> None:
    """Checks that each legal hold was placed, and lifted, by people who signed that."""
    signed = set[tuple[str, ...]]()
    for act in rows:
        if act.outcome in _CARRIED_OUT and act.action in ("hold.place", "change.confirm"):
            with faults.checking(f"act {act.id}"):
                asked = _carried_out(session, act)
                reason = str(asked.details.get("reason", "")).strip()
                told = reason if asked.action == "hold.place" else ""
                signed.add((asked.action, asked.subject_kind, asked.subject, act.person, told))
    since = min((record.person.since for record in history.people), default="")
    for row in session.scalars(select(HoldRow).order_by(HoldRow.id)):
        placed = ("hold.place", row.kind, row.subject, row.placed_by, row.reason)
        lifted = ("hold.lift", row.kind, row.subject, str(row.lifted_by), "")
        if (row.placed_at > since and placed not in signed) or (
            row.lifted_at is not None and row.lifted_at > since and lifted not in signed
        ):
            faults.add(f"the legal hold of {row.kind} {row.subject} is not what people signed")


def _check_accounts(session: Session, rows: Sequence[ActRow], faults: Faults) -> None:
    """Checks that each account is one that its owner set, under the owner's own key."""
    acts = {row.digest: row for row in rows if row.outcome in _CARRIED_OUT}
    for row in session.scalars(select(AccountRow).order_by(AccountRow.id)):
        act = acts.pop(row.act, None)
        with faults.checking(f"account {row.id}"):
            said = None if act is None else read_act(act.document)
            meant = ("account.set", row.person, row.public_key, row.public_key, row.box)
            if said is None or meant != (
                said.request.action,
                said.person,
                said.public_key,
                said.request.details.get("key"),
                said.request.details.get("box"),
            ):
                raise StoreBroken(f"the account of {row.person} is none that they set")


def _check_links(
    session: Session, rows: Sequence[ActRow], entries: Sequence[LogEntry], faults: Faults
) -> None:
    """Checks that each link is what two people signed, and stood at each login by it."""
    acts = {row.digest: row for row in rows if row.outcome in _CARRIED_OUT}
    links = {row.id: row for row in session.scalars(select(IdentityLinkRow))}
    for number, link in sorted(links.items()):
        act = acts.pop(link.act, None)
        with faults.checking(f"link {number}"):
            said = None if act is None else _carried_out(session, act)
            meant = ("account.link", link.person, link.public_key, link.issuer, link.subject)
            details = {} if said is None else said.details
            named = tuple(details.get(name) for name in ("key", "issuer", "subject"))
            if said is None or meant != (said.action, said.subject, *named):
                raise StoreBroken(f"the linked identity of {link.person} is none that was signed")
    places = {entry.record: entry.seq for entry in entries if entry.record is not None}
    for login in session.scalars(select(IdentityLoginRow).order_by(IdentityLoginRow.id)):
        with faults.checking(f"login {login.id}"):
            by = links.get(login.link)
            if by is None or by.person != login.person or not _stood(by, login.record, places):
                raise StoreBroken(f"{login.person} had no such linked identity at {login.at}")


def _stood(link: IdentityLinkRow, record: str, places: Mapping[str, int]) -> bool:
    """Whether a link stood at the entry that wrote a record, in the order of the log."""
    said = {column.name: getattr(link, column.name) for column in link.__table__.columns}
    linked = IdentityLinkRow(**{**said, "until": None, "revision": 1}).record
    ended = None if link.until is None else places[link.record]
    return places[linked] < places[record] and (ended is None or places[record] < ended)


def _require_signed_step(
    step: IncidentStep, number: str, incident: Incident, row: ActRow | None
) -> None:
    if row is None:
        raise StoreBroken(f"incident {number}: a step ({step.step}) has no act of its own")
    said = read_act(row.document).request
    subject = incident.title if step.step == "open" else number
    meant = (said.action, said.subject.strip(), row.person, row.at, said.details.get("note", ""))
    is_same = meant == (f"incident.{step.step}", subject, step.person, step.at, step.note)
    drill = said.details.get("drill") is True
    if not is_same or (step.step == "open" and drill != incident.drill):
        raise StoreBroken(f"incident {number}: a step ({step.step}) is not what was signed")


def _require_reached(incident: Incident, number: int) -> None:
    """Checks that an incident has the steps without which its state is not reached."""
    steps = [step.step for step in incident.steps]
    last = {"close": IncidentState.CLOSED, "notify": IncidentState.NOTIFIED,
            "contain": IncidentState.CONTAINED}  # fmt: skip
    reached = next((state for step, state in last.items() if step in steps), IncidentState.OPEN)
    is_complete = reached is not IncidentState.CLOSED or {"contain", "notify"} <= {*steps}
    if incident.state is not reached or not is_complete:
        raise StoreBroken(f"incident {number} is {incident.state}, its steps do not say so")


def _check_entries(
    entries: Sequence[LogEntry], sizes: Sequence[int], rows: Sequence[ActRow], faults: Faults
) -> None:
    windows = _windows(entries, sizes, rows)
    governed = False
    for entry in entries:
        governed = governed or entry.type in ("person-added", "policy-changed")
        allowed = _GOVERNED.get(entry.type)
        if not governed or allowed is None or entry.run is not None:
            continue
        if not any(windows[effect].covers(entry.seq) for effect in allowed & windows.keys()):
            faults.add(
                f"audit entry {entry.seq} ({entry.type}) has no act of a person: it was done past "
                "the service"
            )


def _windows(
    entries: Sequence[LogEntry], sizes: Sequence[int], rows: Sequence[ActRow]
) -> dict[str, _Windows]:
    """Returns by effect where acts were carried out; an act cut off leaves its own window open."""
    effects = {row.digest: row.effects.split() for row in rows if row.effects}
    unfinished = {row.digest for row in rows if row.outcome == "allowed"}
    places: dict[str, tuple[int, int]] = {}
    for entry in entries:
        if entry.type.startswith(ACT_ENTRY) and entry.payload in effects:
            first, _ = places.get(entry.payload, (entry.seq, 0))
            places[entry.payload] = first, entry.seq
    ends = sorted(sizes)
    found: dict[str, _Windows] = defaultdict(_Windows)
    for act, (first, last) in places.items():  # in the order of their first entries
        after = bisect_right(ends, last)
        last = (ends[after] if after < len(ends) else last + 1) - 1
        for effect in effects[act]:
            found[effect].add(first, len(entries) if act in unfinished else last)
    return found


def _check_rows(
    session: Session, entries: Sequence[LogEntry], rows: Sequence[ActRow], faults: Faults
) -> None:
    """Checks that runs were begun, and alerts acknowledged, by an act, since there are people."""
    since = next((entry.time for entry in entries if entry.type == "person-added"), None)
    if since is None:
        return
    begun = {row.run_id for row in rows if "run.start" in row.effects.split()}
    taken = {(row.subject, row.person) for row in rows if row.action == "alert.acknowledge"}
    runs = select(RunRow.id).where(RunRow.started_at > since, RunRow.simulation.is_(False))
    for run in session.scalars(runs):
        if run not in begun:
            faults.add("it was begun without an act of a person", run=str(run))
    alerts = select(AlertRow.id, AlertRow.acknowledged_by).where(AlertRow.acknowledged_at > since)
    for number, by in session.execute(alerts):
        if (str(number), by) not in taken:
            faults.add(f"alert {number} was acknowledged without an act of {by}")
