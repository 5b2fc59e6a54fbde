"""Tests of ``coordinator.alerts``."""
