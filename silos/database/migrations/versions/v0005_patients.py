"""The record of patients: frozen cohorts, opt-outs, deletions; and the marks of frozen cohorts.

Revision ID: hospital_0005
Revises: hospital_0004
"""

import sqlalchemy as sa
from alembic import op

from compliance.storage.append_only import keep_append_only

revision = "hospital_0005"
down_revision = "hospital_0004"


def upgrade() -> None:
    """Adds the record, whose entries stay, and the lists beside it, which retention removes."""
    op.create_table(
        "patient_entry",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_patient_entry"),
        sa.UniqueConstraint("prev_hash", name="uq_patient_entry_prev_hash"),
    )
    op.create_table(
        "cohort_list",
        sa.Column("cohort", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("marks", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("cohort", name="pk_cohort_list"),
    )
    keep_append_only(op, "patient_entry")
