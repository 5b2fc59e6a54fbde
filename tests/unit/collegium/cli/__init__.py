"""Tests of ``collegium.cli``."""
