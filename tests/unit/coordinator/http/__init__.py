"""Tests of ``coordinator.http``."""
