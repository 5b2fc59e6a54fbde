"""Tests of ``compliance.privacy``."""
