"""Signed snapshots of released models, the models of the register, and their events.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the three tables."""
    op.create_table(
        "signed_snapshot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("model_digest", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signed_snapshot")),
        sa.UniqueConstraint("digest", name=op.f("uq_signed_snapshot_digest")),
    )
    op.create_index(op.f("ix_signed_snapshot_run_id"), "signed_snapshot", ["run_id"])
    op.create_index(op.f("ix_signed_snapshot_model_digest"), "signed_snapshot", ["model_digest"])
    op.create_table(
        "model_line",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("rules_json", sa.Text(), nullable=False),
        sa.Column("founded_at", sa.String(length=32), nullable=False),
        sa.Column("act", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_model_line")),
    )
    op.create_table(
        "model_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("line", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("sites_json", sa.Text(), nullable=False),
        sa.Column("alias", sa.String(length=63), nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("act", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_event")),
    )
    op.create_index(op.f("ix_model_event_line"), "model_event", ["line"])
    op.create_index(op.f("ix_model_event_version"), "model_event", ["version"])
