"""Exact metrics of a hospital's own patients, and their intervals."""
