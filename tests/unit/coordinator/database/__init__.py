"""Tests of ``coordinator.database``."""
