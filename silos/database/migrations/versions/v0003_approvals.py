"""Approvals, trusted rosters and joined runs; a hospital made for a simulation says so.

Revision ID: hospital_0003
Revises: hospital_0002
"""

import sqlalchemy as sa
from alembic import op

from compliance.storage.append_only import keep_append_only

revision = "hospital_0003"
down_revision = "hospital_0002"


def upgrade() -> None:
    """Adds the tables of a hospital on a network."""
    op.add_column(
        "hospital", sa.Column("simulated", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.create_table(
        "approval",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("study", sa.String(64), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("approver", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("decided_at", sa.String(32), nullable=False),
        sa.Column("public_key", sa.String(64), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_approval"),
        sa.UniqueConstraint("prev_hash", name="uq_approval_prev_hash"),
    )
    op.create_index("ix_approval_study", "approval", ["study"])
    op.create_table(
        "roster",
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("signatures_json", sa.Text, nullable=False),
        sa.Column("kept_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_roster"),
    )
    op.create_table(
        "joined_run",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("study", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("notice", sa.LargeBinary, nullable=False),
        sa.Column("joined_at", sa.String(32), nullable=False),
        sa.Column("changed_at", sa.String(32), nullable=False),
        sa.Column("left_by", sa.String(200), nullable=True),
        sa.Column("left_because", sa.Text, nullable=True),
        sa.Column("run_end", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("run_id", name="pk_joined_run"),
    )
    op.create_table(
        "run_decision",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_run_decision"),
        sa.UniqueConstraint("prev_hash", name="uq_run_decision_prev_hash"),
    )
    op.create_index("ix_run_decision_run_id", "run_decision", ["run_id"])
    keep_append_only(op, "approval", "roster", "run_decision")
