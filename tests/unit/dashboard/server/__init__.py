"""Tests of ``dashboard.server``."""
