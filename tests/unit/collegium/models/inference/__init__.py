"""Tests of ``collegium.models.inference``."""
