"""The tables of a hospital's own database; ``database.py`` opens it and keeps rows in them."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from compliance.storage.database import NAMING_CONVENTION


class SiteTable(DeclarativeBase):
    """Base of the hospital's tables."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class HospitalRow(SiteTable):
    """The hospital of this database, and its public keys; their private halves lie elsewhere.

    Identity keys stand here by their public halves (hexadecimal), the split key by its digest.
    ``simulated`` marks a hospital that was made for a simulation or a
    demonstration: it never becomes a real one.
    """

    __tablename__ = "hospital"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(String(63))
    split_key_digest: Mapped[str] = mapped_column(String(64))
    identity_key: Mapped[str] = mapped_column(String(64))
    next_identity_key: Mapped[str | None] = mapped_column(String(64))
    last_identity_key: Mapped[str | None] = mapped_column(String(64))
    simulated: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[str] = mapped_column(String(32))


class BudgetRow(SiteTable):
    """The privacy budget of each of the hospital's patients, for life, whatever the study."""

    __tablename__ = "budget"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    unit: Mapped[str] = mapped_column(String(16))
    adjacency: Mapped[str] = mapped_column(String(16))
    epsilon_max: Mapped[float]
    delta: Mapped[float]
    upper_order: Mapped[float]
    lower_order: Mapped[float]
    upper_capacity: Mapped[int] = mapped_column(BigInteger)
    lower_capacity: Mapped[int] = mapped_column(BigInteger)
    signed_by: Mapped[str] = mapped_column(String(200))
    opened_at: Mapped[str] = mapped_column(String(32))
    hash: Mapped[str] = mapped_column(String(64))


class LedgerRow(SiteTable):
    """One row of the ledger; rho is counted in picorho, at the budget's two orders."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        CheckConstraint("rho_upper >= 0 AND rho_lower >= 0", name="rho"),
        Index("ix_ledger_entry_parent", "parent", "state", "rho_upper", "rho_lower"),
        Index("ix_ledger_entry_partition", "partition", "state", "rho_upper", "rho_lower"),
        Index("ix_ledger_entry_content", "parent", "content"),
        Index(
            "ix_ledger_entry_sent",
            "context",
            unique=True,
            sqlite_where=text("state = 'SENT'"),
            postgresql_where=text("state = 'SENT'"),
        ),
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    budget_id: Mapped[int] = mapped_column(ForeignKey("budget.id"))
    state: Mapped[str] = mapped_column(String(8))
    parent: Mapped[int | None] = mapped_column(ForeignKey("ledger_entry.number"))
    study: Mapped[str] = mapped_column(String(64))
    run: Mapped[str] = mapped_column(String(64))
    partition: Mapped[str] = mapped_column(String(16))
    round_kind: Mapped[str] = mapped_column(String(64))
    context: Mapped[str] = mapped_column(String(64))
    blob: Mapped[str] = mapped_column(String(64))
    content: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    event_json: Mapped[str] = mapped_column(Text)
    rho_upper: Mapped[int] = mapped_column(BigInteger)
    rho_lower: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[str] = mapped_column(String(32))
    prev_hash: Mapped[str] = mapped_column(String(64), unique=True)
    hash: Mapped[str] = mapped_column(String(64))


class SigningRecordRow(SiteTable):
    """A digest that this hospital has bound itself to, one for each context and slot."""

    __tablename__ = "signing_record"
    context: Mapped[str] = mapped_column(String(64), primary_key=True)
    slot: Mapped[str] = mapped_column(String(128), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))


class LogHeadRow(SiteTable):
    """A head of a coordinator's log that this hospital took part under (``log_heads.py``)."""

    __tablename__ = "log_head"
    origin: Mapped[str] = mapped_column(String(63), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root: Mapped[bytes] = mapped_column(LargeBinary(32))
    note: Mapped[bytes] = mapped_column(LargeBinary)
    kept_at: Mapped[str] = mapped_column(String(32))


class CosignedHeadRow(SiteTable):
    """A head that a round was opened under, with the cosignatures that the opening showed."""

    __tablename__ = "cosigned_head"
    origin: Mapped[str] = mapped_column(String(63), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    note: Mapped[bytes] = mapped_column(LargeBinary)
    kept_at: Mapped[str] = mapped_column(String(32))


class OwnEventRow(SiteTable):
    """The proof (tlog-proof) that what this hospital sent in a round stands in the log."""

    __tablename__ = "own_event"
    origin: Mapped[str] = mapped_column(String(63), primary_key=True)
    entry: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    run_id: Mapped[str] = mapped_column(String(64))
    round_kind: Mapped[str] = mapped_column(String(16))
    number: Mapped[int]
    proof: Mapped[bytes] = mapped_column(LargeBinary)
    kept_at: Mapped[str] = mapped_column(String(32))


class LogForkRow(SiteTable):
    """Two notes of one log that were not shown to agree: evidence against its coordinator."""

    __tablename__ = "log_fork"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    origin: Mapped[str] = mapped_column(String(63))
    kept_note: Mapped[bytes] = mapped_column(LargeBinary)
    other_note: Mapped[bytes] = mapped_column(LargeBinary)
    run: Mapped[str] = mapped_column(String(64))
    seen_at: Mapped[str] = mapped_column(String(32))


class PatientSideRow(SiteTable):
    """A patient whom a study used, under a keyed hash, and the patient's side for life."""

    __tablename__ = "patient_side"
    mark: Mapped[str] = mapped_column(String(64), primary_key=True)
    side: Mapped[str] = mapped_column(String(16))


class PatientEntryRow(SiteTable):
    """An entry of the record of patients, signed and chained (``silos.patients.entries``)."""

    __tablename__ = "patient_entry"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    document: Mapped[bytes] = mapped_column(LargeBinary)
    prev_hash: Mapped[str] = mapped_column(String(64), unique=True)
    hash: Mapped[str] = mapped_column(String(64))
    signature: Mapped[bytes] = mapped_column(LargeBinary(64))


class CohortListRow(SiteTable):
    """The marks of a frozen cohort's patients, by its entry's number; retention removes it."""

    __tablename__ = "cohort_list"
    cohort: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    marks: Mapped[bytes] = mapped_column(LargeBinary)


class BlobRow(SiteTable):
    """A masked vector that may have to be sent again, byte for byte."""

    __tablename__ = "masked_blob"
    context: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[str] = mapped_column(String(32))


class ApprovalRow(SiteTable):
    """One decision about a study: approved by a named person for some runs, or withdrawn."""

    __tablename__ = "approval"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    study: Mapped[str] = mapped_column(String(64), index=True)
    decision: Mapped[str] = mapped_column(String(16))
    approver: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(Text)
    runs: Mapped[int]
    decided_at: Mapped[str] = mapped_column(String(32))
    public_key: Mapped[str] = mapped_column(String(64))
    prev_hash: Mapped[str] = mapped_column(String(64), unique=True)
    hash: Mapped[str] = mapped_column(String(64))
    signature: Mapped[bytes] = mapped_column(LargeBinary(64))


class FormerKeyRow(SiteTable):
    """A former public identity key, of which the hospital still knows its own statements."""

    __tablename__ = "former_key"
    public_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    retired_at: Mapped[str] = mapped_column(String(32))


class DepartureRow(SiteTable):
    """This hospital left a chain: rosters up to number ``after`` are trusted no more."""

    __tablename__ = "departure"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    after: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    left_at: Mapped[str] = mapped_column(String(32))


class TrustedRosterRow(SiteTable):
    """A roster that this hospital trusts, or trusted before it left its chain.

    Numbers count what was kept; a second chain has a version 1 too.
    """

    __tablename__ = "trusted_roster"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]
    document: Mapped[bytes] = mapped_column(LargeBinary)
    signatures_json: Mapped[str] = mapped_column(Text)
    kept_at: Mapped[str] = mapped_column(String(32))


class SignedRosterRow(SiteTable):
    """A roster that this hospital has signed, whether others have or not, and when."""

    __tablename__ = "signed_roster"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    previous: Mapped[str | None] = mapped_column(String(64), index=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    signature: Mapped[bytes] = mapped_column(LargeBinary(64))
    signed_at: Mapped[str] = mapped_column(String(32))


class RunDecisionRow(SiteTable):
    """A decision of the hospital about a run, signed and chained (``run_decisions.py``)."""

    __tablename__ = "run_decision"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[str] = mapped_column(String(64), index=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    prev_hash: Mapped[str] = mapped_column(String(64), unique=True)
    hash: Mapped[str] = mapped_column(String(64))
    signature: Mapped[bytes] = mapped_column(LargeBinary(64))


class RunState(StrEnum):
    """The state of a run at this hospital."""

    JOINED = "joined"
    LEFT = "left"
    REFUSED = "refused"


class JoinedRunRow(SiteTable):
    """A run that this hospital joined, and how far it got: read again after a restart."""

    __tablename__ = "joined_run"
    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    study: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    notice: Mapped[bytes] = mapped_column(LargeBinary)  # the coordinator's signed statement
    joined_at: Mapped[str] = mapped_column(String(32))
    changed_at: Mapped[str] = mapped_column(String(32))
    left_by: Mapped[str | None] = mapped_column(String(200))  # whoever ended it here, if anybody
    left_because: Mapped[str | None] = mapped_column(Text)
    run_end: Mapped[bytes | None] = mapped_column(
        LargeBinary
    )  # its signed statement that the run is over
