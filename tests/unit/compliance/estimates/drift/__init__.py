"""Tests of ``compliance.estimates.drift``."""
