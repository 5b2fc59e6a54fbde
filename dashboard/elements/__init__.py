"""Pieces that pages are made of: statements, tables, charts with their numbers, choices."""
