"""Alembic migrations of the hospital's database; ``store.open_hospital`` runs them."""
