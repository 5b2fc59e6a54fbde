"""A round says what its attempts have shown of the sites, and what its context is."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the conduct and the context of every round; older rounds have neither."""
    for name, unknown in (("conduct_json", "{}"), ("context_json", "")):
        column = sa.Column(name, sa.Text(), nullable=False, server_default=unknown)
        op.add_column("round", column)
