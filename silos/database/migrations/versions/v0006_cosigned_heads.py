"""The cosigned heads that rounds were opened under, and the proofs of this hospital's own events.

Revision ID: hospital_0006
Revises: hospital_0005
"""

import sqlalchemy as sa
from alembic import op

from compliance.storage.append_only import keep_append_only

revision = "hospital_0006"
down_revision = "hospital_0005"


def upgrade() -> None:
    """Adds both tables, whose rows stay."""
    op.create_table(
        "cosigned_head",
        sa.Column("origin", sa.String(63), nullable=False),
        sa.Column("size", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("note", sa.LargeBinary, nullable=False),
        sa.Column("kept_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("origin", "size", name="pk_cosigned_head"),
    )
    op.create_table(
        "own_event",
        sa.Column("origin", sa.String(63), nullable=False),
        sa.Column("entry", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("round_kind", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("proof", sa.LargeBinary, nullable=False),
        sa.Column("kept_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("origin", "entry", name="pk_own_event"),
    )
    keep_append_only(op, "cosigned_head", "own_event")
