"""Tests of ``coordinator.governance.accounts``."""
