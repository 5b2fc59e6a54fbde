"""Tests of ``collegium.studies.monitoring``."""
