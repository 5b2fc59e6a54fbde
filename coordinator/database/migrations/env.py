"""Alembic's entry: runs the consortium's migrations on the connection it is handed."""

from alembic import context

from coordinator.database.store import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
