"""Tests of ``compliance.facts``."""
