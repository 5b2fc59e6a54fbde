"""Tests of ``compliance.governance.models``."""
