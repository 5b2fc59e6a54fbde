"""Tests of ``coordinator.governance.models``."""
