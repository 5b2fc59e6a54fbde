"""Meaning of a table's columns beyond a single cell: other units, dates, windows of time."""
