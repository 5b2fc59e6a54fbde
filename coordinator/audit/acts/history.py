"""People, their roles and the access policy as they were at each entry of the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.people import FIRST_POLICY, AccessPolicy, Person
from coordinator.audit.faults import Faults
from coordinator.governance.people_register import person_of, policy_of
from coordinator.governance.tables import PersonRow, PolicyRow
from protocol.log.entry import LogEntry


@dataclass(frozen=True, kw_only=True)
class PersonRecord:
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
class ActHistory:
    """All records of people, and from which entry each policy was in force."""

    people: tuple[PersonRecord, ...]
    policies: tuple[tuple[int, AccessPolicy], ...]

    def people_at(self, seq: int) -> tuple[Person, ...]:
        """Returns the people whose records held at an entry."""
        found = (record.as_of(seq) for record in self.people)
        return tuple(person for person in found if person is not None)

    def policy_at(self, seq: int) -> AccessPolicy:
        """Returns the policy in force at an entry."""
        return [policy for since, policy in self.policies if since < seq][-1]


def history_of(session: Session, entries: Sequence[LogEntry], faults: Faults) -> ActHistory:
    """Returns the records of people and the policies, each with the entries that wrote it."""
    people: list[PersonRecord] = []
    policies = [(-1, FIRST_POLICY)]
    places = {entry.record: entry.seq for entry in entries if entry.record is not None}
    with faults.checking("the register of people"):
        for row in session.scalars(select(PersonRow).order_by(PersonRow.id)):
            people.append(_person_record(row, places))
    with faults.checking("the access policy"):
        for policy in session.scalars(select(PolicyRow).order_by(PolicyRow.version)):
            policies.append((places[policy.record], policy_of(policy)))
    return ActHistory(people=tuple(people), policies=tuple(policies))


def _person_record(row: PersonRow, places: Mapping[str, int]) -> PersonRecord:
    """Returns a record with the entries that wrote its row, whose earlier states follow from it."""
    added = _state_of(row, revision=1)
    suspended = None
    if row.suspended is not None:
        suspended = places[_state_of(row, revision=2, suspended=row.suspended).record]
    return PersonRecord(
        person=person_of(row),
        added=places[added.record],
        suspended=suspended,
        ended=None if row.until is None else places[row.record],
    )


def _state_of(row: PersonRow, *, revision: int, suspended: str | None = None) -> PersonRow:
    """Returns the row as one of its earlier writes left it."""
    said = {column.name: getattr(row, column.name) for column in PersonRow.__table__.columns}
    return PersonRow(**{**said, "until": None, "suspended": suspended, "revision": revision})
