"""Tests of ``collegium.simulation``."""
