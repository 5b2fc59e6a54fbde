"""The consortium's first tables: studies, runs, rounds, releases, snapshots, the audit log."""

import sqlalchemy as sa
from alembic import op

from compliance.storage.append_only import keep_append_only

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("audit_entry", "audit_checkpoint")


def upgrade() -> None:
    """Makes the tables, and triggers that keep the audit log append-only."""
    op.create_table(
        "audit_checkpoint",
        sa.Column("size", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_audit_checkpoint")),
    )
    op.create_table(
        "audit_entry",
        sa.Column("idx", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("leaf_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx", name=op.f("pk_audit_entry")),
    )
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_entry_run_id"), ["run_id"], unique=False)

    op.create_table(
        "study",
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("registered_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_study")),
    )
    with op.batch_alter_table("study", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_study_name"), ["name"], unique=False)

    op.create_table(
        "run",
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("study_digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("simulation", sa.Boolean(), nullable=False),
        sa.Column("test_noise", sa.Boolean(), nullable=False),
        sa.Column("seed", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sweep", sa.String(length=32), nullable=True),
        sa.Column("started_at", sa.String(length=32), nullable=False),
        sa.Column("ended_at", sa.String(length=32), nullable=True),
        sa.Column("roster_json", sa.Text(), nullable=False),
        sa.Column("sites_json", sa.Text(), nullable=False),
        sa.Column("exact_json", sa.Text(), nullable=True),
        sa.Column("environment_json", sa.Text(), nullable=False),
        sa.Column("model_digest", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["study_digest"], ["study.digest"], name=op.f("fk_run_study_digest_study")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_study_digest"), ["study_digest"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_sweep"), ["sweep"], unique=False)

    op.create_table(
        "release",
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("payload_json", sa.Text(), nullable=False),
        sa.Column("released_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_release_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
    )
    with op.batch_alter_table("release", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_release_run_id"), ["run_id"], unique=False)
        batch_op.create_index("ix_release_run_kind", ["run_id", "kind"], unique=False)
        batch_op.create_index(
            "uq_release_run_kind",
            ["run_id", "kind"],
            unique=True,
            sqlite_where=sa.text("kind != 'redteam'"),
            postgresql_where=sa.text("kind != 'redteam'"),
        )

    op.create_table(
        "round",
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("round_kind", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("context", sa.String(length=64), nullable=False),
        sa.Column("survivors_json", sa.Text(), nullable=False),
        sa.Column("dropped_json", sa.Text(), nullable=False),
        sa.Column("model_digest", sa.String(length=64), nullable=True),
        sa.Column("opened_at", sa.String(length=32), nullable=False),
        sa.Column("closed_at", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_round_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_round")),
        sa.UniqueConstraint(
            "run_id", "round_kind", "number", "attempt", name=op.f("uq_round_run_id")
        ),
    )
    with op.batch_alter_table("round", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_round_run_id"), ["run_id"], unique=False)

    op.create_table(
        "snapshot",
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("round_number", sa.Integer(), nullable=False),
        sa.Column("model_digest", sa.String(length=64), nullable=False),
        sa.Column("manifest_json", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_snapshot_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
    )
    with op.batch_alter_table("snapshot", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_snapshot_model_digest"), ["model_digest"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_snapshot_run_id"), ["run_id"], unique=False)

    keep_append_only(op, *APPEND_ONLY)


def downgrade() -> None:
    """Removes the tables."""
    op.drop_table("snapshot")
    op.drop_table("round")
    op.drop_table("release")
    op.drop_table("run")
    op.drop_table("study")
    op.drop_table("audit_entry")
    op.drop_table("audit_checkpoint")
