"""Databases and files that survive a crash, on SQLite and on PostgreSQL."""
