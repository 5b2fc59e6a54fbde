"""Rounds of a run: aggregation, retries, evaluation, and the records of each."""
