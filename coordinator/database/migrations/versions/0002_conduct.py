"""A round says what its attempts have shown of the sites, with the evidence, and its context."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the conduct and the context of every round, and accusations."""
    for name, unknown in (("conduct_json", "{}"), ("context_json", "")):
        column = sa.Column(name, sa.Text(), nullable=False, server_default=unknown)
        op.add_column("round", column)
    op.create_table(
        "accusation",
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("context", sa.String(length=64), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_accusation_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accusation")),
    )
    op.create_index("ix_accusation_run_id", "accusation", ["run_id"])
