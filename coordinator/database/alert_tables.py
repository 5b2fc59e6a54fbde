"""Tables of alerts: what was raised, who acknowledged it, and what was sent about it.

Rules:

1. An alert is raised once while its cause lasts: of a rule and a subject one is open at most.
2. A row holds names, the rule's threshold, dates and released figures; no other figure.
3. Every write of a row is one entry of the log, under no run (``store.LoggedRow``): an alert
   about a run may come long after the run's end, and a run's report does not change by it.
"""

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from coordinator.database.store import LoggedRow


class AlertRow(LoggedRow):
    """An alert; ``cause_json`` is what it says, as ``coordinator.alerts.judging.Cause`` has it."""

    __tablename__ = "alert"
    id: Mapped[int] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(String(63))
    kind: Mapped[str] = mapped_column(String(32))
    severity: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(200))
    run_id: Mapped[str | None] = mapped_column(String(32), index=True)
    cause_json: Mapped[str] = mapped_column(Text)
    raised_at: Mapped[str] = mapped_column(String(32))
    closed_at: Mapped[str | None] = mapped_column(String(32))
    acknowledged_by: Mapped[str | None] = mapped_column(String(100))
    acknowledged_at: Mapped[str | None] = mapped_column(String(32))
    note: Mapped[str | None] = mapped_column(Text)


class AlertMessageRow(LoggedRow):
    """A message about an alert to one webhook; state is waiting, sent or failed.

    ``name`` is the message's own, the same at every attempt; ``failure`` says why the newest
    attempt failed. ``due_at`` is when it is tried next, or ended.
    """

    __tablename__ = "alert_message"
    id: Mapped[int] = mapped_column(primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alert.id"), index=True)
    webhook: Mapped[str] = mapped_column(String(63))
    event: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    attempts: Mapped[int]
    failure: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[str] = mapped_column(String(32))
    due_at: Mapped[str] = mapped_column(String(32))


_IS_OPEN = AlertRow.closed_at.is_(None)
Index(
    "uq_alert_open",
    AlertRow.rule,
    AlertRow.subject,
    unique=True,
    sqlite_where=_IS_OPEN,
    postgresql_where=_IS_OPEN,
)
