"""Attacks on the records: who trained a model, what it kept of them, what an update shows."""
