"""Alembic's entry: runs the consortium's migrations on the connection it is handed."""

from alembic import context

from coordinator.database.store import CoordinatorTable

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=CoordinatorTable.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
