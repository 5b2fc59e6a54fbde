"""Tests of ``compliance.empirical_audit``."""
