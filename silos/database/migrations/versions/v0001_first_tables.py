"""The hospital's identity, its budget, the ledger, the signing record and the masked blobs.

Revision ID: hospital_0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

from compliance.storage.append_only import keep_append_only

revision = "hospital_0001"
down_revision = None

#: Rows of these tables are only ever added.
APPEND_ONLY = ("budget", "ledger_entry", "signing_record", "patient_side", "log_head", "log_fork")


def upgrade() -> None:
    """Makes the first tables."""
    op.create_table(
        "hospital",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("site", sa.String(63), nullable=False),
        sa.Column("split_key_digest", sa.String(64), nullable=False),
        sa.Column("identity_key", sa.String(64), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_hospital"),
        sa.CheckConstraint("id = 1", name="ck_hospital_one"),
    )
    op.create_table(
        "budget",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("adjacency", sa.String(16), nullable=False),
        sa.Column("epsilon_max", sa.Double, nullable=False),
        sa.Column("delta", sa.Double, nullable=False),
        sa.Column("upper_order", sa.Double, nullable=False),
        sa.Column("lower_order", sa.Double, nullable=False),
        sa.Column("upper_capacity", sa.BigInteger, nullable=False),
        sa.Column("lower_capacity", sa.BigInteger, nullable=False),
        sa.Column("signed_by", sa.String(200), nullable=False),
        sa.Column("opened_at", sa.String(32), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_budget"),
        sa.CheckConstraint("id = 1", name="ck_budget_one"),
    )
    _create_ledger()
    _create_round_tables()
    _create_log_tables()
    keep_append_only(op, *APPEND_ONLY)


def _create_ledger() -> None:
    op.create_table(
        "ledger_entry",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("budget_id", sa.Integer, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("parent", sa.Integer, nullable=True),
        sa.Column("study", sa.String(64), nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("partition", sa.String(16), nullable=False),
        sa.Column("round_kind", sa.String(64), nullable=False),
        sa.Column("context", sa.String(64), nullable=False),
        sa.Column("blob_sha256", sa.String(64), nullable=False),
        sa.Column("event_json", sa.Text, nullable=False),
        sa.Column("rho_upper", sa.BigInteger, nullable=False),
        sa.Column("rho_lower", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_ledger_entry"),
        sa.ForeignKeyConstraint(
            ["budget_id"], ["budget.id"], name="fk_ledger_entry_budget_id_budget"
        ),
        sa.ForeignKeyConstraint(
            ["parent"], ["ledger_entry.number"], name="fk_ledger_entry_parent_ledger_entry"
        ),
        sa.UniqueConstraint("prev_hash", name="uq_ledger_entry_prev_hash"),
        sa.CheckConstraint("rho_upper >= 0 AND rho_lower >= 0", name="ck_ledger_entry_rho"),
    )
    rho = ["rho_upper", "rho_lower"]
    op.create_index("ix_ledger_entry_parent", "ledger_entry", ["parent", "state", *rho])
    op.create_index("ix_ledger_entry_partition", "ledger_entry", ["partition", "state", *rho])
    op.create_index(
        "ix_ledger_entry_sent",
        "ledger_entry",
        ["context"],
        unique=True,
        sqlite_where=sa.text("state = 'SENT'"),
        postgresql_where=sa.text("state = 'SENT'"),
    )


def _create_round_tables() -> None:
    op.create_table(
        "signing_record",
        sa.Column("context", sa.String(64), nullable=False),
        sa.Column("slot", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("context", "slot", name="pk_signing_record"),
    )
    op.create_table(
        "patient_side",
        sa.Column("mark", sa.String(64), nullable=False),
        sa.Column("side", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("mark", name="pk_patient_side"),
    )
    op.create_table(
        "masked_blob",
        sa.Column("context", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("context", name="pk_masked_blob"),
    )


def _create_log_tables() -> None:
    op.create_table(
        "log_head",
        sa.Column("origin", sa.String(63), nullable=False),
        sa.Column("size", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("note", sa.LargeBinary, nullable=False),
        sa.Column("kept_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("origin", "size", name="pk_log_head"),
    )
    op.create_table(
        "log_fork",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("origin", sa.String(63), nullable=False),
        sa.Column("kept_note", sa.LargeBinary, nullable=False),
        sa.Column("other_note", sa.LargeBinary, nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("seen_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_log_fork"),
    )
