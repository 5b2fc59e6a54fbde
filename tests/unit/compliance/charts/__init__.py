"""Tests of ``compliance.charts``."""
