"""Tests of ``silos.rounds.openings``."""
