"""Tests of ``coordinator.database.log``."""
