"""Ledger rows say which noised vector was released; blobs are named by BLAKE3.

Revision ID: hospital_0002
Revises: hospital_0001
"""

import sqlalchemy as sa
from alembic import op

revision = "hospital_0002"
down_revision = "hospital_0001"


def upgrade() -> None:
    """Adds what a row of version 2 says; rows of version 1 keep their hashes."""
    op.alter_column("ledger_entry", "blob_sha256", new_column_name="blob")
    op.add_column(
        "ledger_entry", sa.Column("content", sa.String(64), nullable=False, server_default="")
    )
    op.add_column(
        "ledger_entry", sa.Column("version", sa.Integer, nullable=False, server_default="1")
    )
    op.create_index("ix_ledger_entry_content", "ledger_entry", ["parent", "content"])
    op.alter_column("masked_blob", "sha256", new_column_name="name")
