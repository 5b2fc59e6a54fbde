"""A simulation's pooled references stand beside its runs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table of references."""
    op.create_table(
        "reference",
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("sweep", sa.String(length=32), nullable=False),
        sa.Column("study_digest", sa.String(length=64), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("seed", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("epsilon", sa.Float(), nullable=True),
        sa.Column("figures_json", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_digest"], ["study.digest"], name=op.f("fk_reference_study_digest_study")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reference")),
    )
    with op.batch_alter_table("reference", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reference_study_digest"), ["study_digest"])
        batch_op.create_index(batch_op.f("ix_reference_sweep"), ["sweep"])
