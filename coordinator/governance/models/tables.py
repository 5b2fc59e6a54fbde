"""Tables of released models: their signed snapshots, and the events of their stages.

Every write of a row is one entry of the log, under no run: signatures may come after its end.
"""

from sqlalchemy import LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from coordinator.database.store import LoggedRow
from protocol.encoding import digest


class SignedSnapshotRow(LoggedRow):
    """A snapshot with the signatures that it has so far; see ``protocol.transport.snapshot``.

    ``digest`` is the snapshot's own, ``document`` the canonical bytes with the signatures.
    """

    __tablename__ = "signed_snapshot"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(String(32), index=True)
    model_digest: Mapped[str] = mapped_column(String(64), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[str] = mapped_column(String(32))


class ModelLineRow(LoggedRow):
    """A model by its name, with the thresholds of its gates (``GateRules``) since it was founded.

    ``act`` is the digest of the act that founded it.
    """

    __tablename__ = "model_line"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    rules_json: Mapped[str] = mapped_column(Text)
    founded_at: Mapped[str] = mapped_column(String(32))
    act: Mapped[str] = mapped_column(String(64))

    @property
    def rules_digest(self) -> str:
        """The digest of the thresholds."""
        return digest(self.rules_json.encode())


class ModelEventRow(LoggedRow):
    """An event in the history of a model's version; see ``compliance.governance.models.stages``.

    ``line`` is the model's name, ``version`` the digest of a signed snapshot, ``act`` the digest
    of the act that asked for it; empty where a rule of the coordinator did. Of a statement of
    serving (kind ``served-stated``) ``reason`` holds the statement as the hospital signed it, and
    ``sites_json`` the hospital's name.
    """

    __tablename__ = "model_event"
    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[str] = mapped_column(String(63), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    version: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[str] = mapped_column(String(32))
    sites_json: Mapped[str] = mapped_column(Text)
    alias: Mapped[str] = mapped_column(String(63))
    by: Mapped[str] = mapped_column(String(100))
    reason: Mapped[str] = mapped_column(Text)
    act: Mapped[str] = mapped_column(String(64))
