"""Faults of every kind against a consortium on loopback, and one judge of what they left behind."""
