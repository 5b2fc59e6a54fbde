"""A consortium on PostgreSQL."""
