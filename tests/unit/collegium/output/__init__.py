"""Tests of ``collegium.output``."""
