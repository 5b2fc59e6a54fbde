"""Alembic migrations of the hospital's database; ``open_hospital`` runs them."""
