"""Tests of ``compliance.governance.access``."""
