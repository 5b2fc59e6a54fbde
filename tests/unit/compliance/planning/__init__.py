"""Tests of ``compliance.planning``."""
