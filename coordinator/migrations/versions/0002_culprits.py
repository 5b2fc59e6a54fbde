"""A round says who answered wrongly in it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the culprits of every round."""
    op.add_column(
        "round", sa.Column("culprits_json", sa.Text(), nullable=False, server_default="{}")
    )
