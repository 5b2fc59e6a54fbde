"""Tests of ``collegium.models``."""
