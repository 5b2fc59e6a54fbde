"""Tests of ``coordinator.rounds``."""
