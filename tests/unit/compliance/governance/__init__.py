"""Tests of ``compliance.governance``."""
