"""Rows about the consortium: what waits for whom, its hospitals, and what was approved."""
