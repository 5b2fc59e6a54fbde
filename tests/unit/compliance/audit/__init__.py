"""Tests of ``compliance.audit``."""
