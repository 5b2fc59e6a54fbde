"""Tests of ``coordinator.rounds.ending``."""
