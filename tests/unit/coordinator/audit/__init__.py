"""Tests of ``coordinator.audit``."""
