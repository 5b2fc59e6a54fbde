"""Identity keys may be replaced, and a chain of rosters may be left for another.

Revision ID: hospital_0004
Revises: hospital_0003
"""

import sqlalchemy as sa
from alembic import op

from compliance.storage.append_only import keep_append_only

revision = "hospital_0004"
down_revision = "hospital_0003"


def upgrade() -> None:
    """Numbers trusted rosters anew, for a second chain has a version 1 too."""
    op.add_column("hospital", sa.Column("next_identity_key", sa.String(64), nullable=True))
    op.add_column("hospital", sa.Column("last_identity_key", sa.String(64), nullable=True))
    op.create_table(
        "former_key",
        sa.Column("public_key", sa.String(64), nullable=False),
        sa.Column("retired_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("public_key", name="pk_former_key"),
    )
    op.create_table(
        "departure",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("after", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("left_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_departure"),
    )
    op.create_table(
        "trusted_roster",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("signatures_json", sa.Text, nullable=False),
        sa.Column("kept_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_trusted_roster"),
    )
    op.create_table(
        "signed_roster",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("previous", sa.String(64), nullable=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.Column("signed_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_signed_roster"),
    )
    op.create_index("ix_signed_roster_previous", "signed_roster", ["previous"])
    op.execute(
        "INSERT INTO trusted_roster (number, version, document, signatures_json, kept_at) "
        "SELECT version, version, document, signatures_json, kept_at FROM roster"
    )
    op.drop_table("roster")
    keep_append_only(op, "former_key", "departure", "trusted_roster", "signed_roster")
