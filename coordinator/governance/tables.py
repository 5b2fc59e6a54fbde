"""Tables of governance: people, their acts, changes, the access policy, incidents, legal holds.

Every write of a row is one entry of the log, under no run (``store.LoggedRow``): an act about a run
may come long after the run's end, and a run's own record does not change by it.
"""

from sqlalchemy import LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from coordinator.database.store import LoggedRow


class PersonRow(LoggedRow):
    """A person's record: name, key and roles from ``since`` to ``until``, which is NULL now.

    Another key or other roles are another row. ``act`` is the digest of the act that made it.
    """

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), index=True)
    public_key: Mapped[str] = mapped_column(String(64), index=True)
    roles_json: Mapped[str] = mapped_column(Text)
    expires: Mapped[str] = mapped_column(String(32))
    since: Mapped[str] = mapped_column(String(32))
    until: Mapped[str | None] = mapped_column(String(32))
    suspended: Mapped[str | None] = mapped_column(String(32))
    act: Mapped[str] = mapped_column(String(64))


class ActRow(LoggedRow):
    """An act of a person, done or refused; the log's entries hold its ``digest`` and this row's.

    Attributes:
        at: when the service took it; ``document`` holds when the person signed it.
        outcome: allowed (not finished), proposed, done, failed or refused; ``reason`` says why.
        effects: what it did, with blanks between: its own action, or that of the change that it
            confirmed, or what a containment did.
        run_id: of which run it is, where it is of one.
        document, signature: the act's canonical bytes, and the person's signature.
    """

    __tablename__ = "act"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(String(32), index=True)
    person: Mapped[str] = mapped_column(String(100), index=True)
    public_key: Mapped[str] = mapped_column(String(64))
    role: Mapped[str | None] = mapped_column(String(32))
    action: Mapped[str] = mapped_column(String(32), index=True)
    subject_kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(Text)
    run_id: Mapped[str | None] = mapped_column(String(32), index=True)
    details_json: Mapped[str] = mapped_column(Text)
    policy: Mapped[str] = mapped_column(String(64))
    salt: Mapped[str] = mapped_column(String(32), index=True)
    digest: Mapped[str] = mapped_column(String(64), index=True)
    outcome: Mapped[str] = mapped_column(String(16))
    effects: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    signature: Mapped[bytes] = mapped_column(LargeBinary)


class ChangeRow(LoggedRow):
    """A change that waits for its second person, or waited; see ``two_person.Change``."""

    __tablename__ = "change"
    id: Mapped[int] = mapped_column(primary_key=True)
    request_json: Mapped[str] = mapped_column(Text)
    request_digest: Mapped[str] = mapped_column(String(64), index=True)
    proposed_by: Mapped[str] = mapped_column(String(100))
    proposed_key: Mapped[str] = mapped_column(String(64))
    proposed_at: Mapped[str] = mapped_column(String(32))
    expires: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16), index=True)
    decided_by: Mapped[str | None] = mapped_column(String(100))
    decided_at: Mapped[str | None] = mapped_column(String(32))
    failure: Mapped[str | None] = mapped_column(Text)


class PolicyRow(LoggedRow):
    """An access policy that two people put in force; without one the first of all holds."""

    __tablename__ = "access_policy"
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
    policy_json: Mapped[str] = mapped_column(Text)
    since: Mapped[str] = mapped_column(String(32))


class IncidentRow(LoggedRow):
    """An incident; ``steps_json`` are the steps of its course (``incidents.course``)."""

    __tablename__ = "incident"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    title: Mapped[str] = mapped_column(String(200))
    severity: Mapped[str] = mapped_column(String(16))
    drill: Mapped[bool]
    state: Mapped[str] = mapped_column(String(16), index=True)
    known_at: Mapped[str] = mapped_column(String(32))
    due_at: Mapped[str] = mapped_column(String(32))
    steps_json: Mapped[str] = mapped_column(Text)


class HoldRow(LoggedRow):
    """A legal hold of a run or a study; see ``retention.Hold``."""

    __tablename__ = "legal_hold"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(64), index=True)
    reason: Mapped[str] = mapped_column(Text)
    placed_by: Mapped[str] = mapped_column(String(100))
    placed_at: Mapped[str] = mapped_column(String(32))
    lifted_by: Mapped[str | None] = mapped_column(String(100))
    lifted_at: Mapped[str | None] = mapped_column(String(32))
