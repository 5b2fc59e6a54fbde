"""Tests of ``coordinator.membership``."""
