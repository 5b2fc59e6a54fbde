"""Attacks on a study's or a run's privacy claim, and the report of what they found."""
