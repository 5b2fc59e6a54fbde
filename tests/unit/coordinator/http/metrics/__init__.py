"""Tests of ``coordinator.http.metrics``."""
