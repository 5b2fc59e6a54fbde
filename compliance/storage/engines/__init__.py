"""The two kinds of database: one SQLite file, or a PostgreSQL server; their tables' revisions."""
