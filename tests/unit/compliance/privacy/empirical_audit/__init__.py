"""Tests of ``compliance.privacy.empirical_audit``."""
